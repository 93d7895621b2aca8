/**
 * The floor of HTTP: a bare server on Bun's HTTP that sends prepared answers, and holds polls. `GET /page/BYTES`
 * answers with so much JSON; `POST` of `{"waitMs":0}` answers at once, of any other `waitMs` never.
 *
 * It is a process of its own: it prints its address and ends on SIGTERM.
 */
const NOTHING_NEW = { frames: [], cursor: { epoch: "", timeline: 0, groups: {} }, more: false };

export function startHttpFloor(port = 0) {
  const pages = new Map<string, string>();
  const pageOf = (bytes: string): string => {
    const known = pages.get(bytes);
    if (known !== undefined) return known;
    const page = JSON.stringify({ text: "x".repeat(Math.max(0, Number(bytes) - 11)) });
    pages.set(bytes, page);
    return page;
  };
  const headers = { "content-type": "application/json" };
  return Bun.serve({
    port,
    hostname: "127.0.0.1",
    idleTimeout: 255,
    async fetch(request) {
      if (request.method === "GET")
        return new Response(pageOf(request.url.slice(request.url.lastIndexOf("/") + 1)), { headers });
      const { waitMs } = (await request.json()) as { waitMs: number };
      if (waitMs !== 0) await new Promise(() => {});
      return new Response(JSON.stringify(NOTHING_NEW), { headers });
    },
  });
}

if (import.meta.main) {
  const server = startHttpFloor();
  process.on("SIGTERM", () => process.exit(0));
  console.log(`HTTP floor listening on http://127.0.0.1:${server.port}`);
}
