import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "../../src/client");
const ALLOWED = new Set(["../protocol/frames.ts", "../protocol/codes.ts", "../protocol/http-shapes.ts"]);
const sources = readdirSync(FOLDER).filter((name) => name.endsWith(".ts"));

test("the SDK imports nothing but the protocol, so that it can be published by itself", () => {
  const transpiler = new Bun.Transpiler({ loader: "ts" });
  expect(sources.length).toBeGreaterThan(10);
  for (const name of sources) {
    const source = readFileSync(join(FOLDER, name), "utf8");
    const stated = [...source.matchAll(/from\s+"([^"]+)"/g)].map(([, path]) => path ?? "");
    const scanned = transpiler.scanImports(source).map(({ path }) => path);
    for (const path of [...stated, ...scanned])
      expect([name, path.startsWith("./") || ALLOWED.has(path)]).toEqual([name, true]);
    expect([name, /\bBun\.|\bprocess\.|\bBuffer\b|\brequire\(/.test(source)]).toEqual([name, false]);
  }
});

test("the SDK bundles for browsers, with nothing of Bun or Node in it", async () => {
  const built = await Bun.build({
    entrypoints: [join(FOLDER, "client.ts"), join(FOLDER, "http.ts")],
    target: "browser",
  });
  expect(built.success).toBe(true);
  for (const output of built.outputs) expect(await output.text()).not.toMatch(/["'](bun|node):/);
});

test("the SDK loads in Node, and without a WebSocket there uses long poll", async () => {
  const node = Bun.which("node");
  if (node === null) throw new Error("Node is needed: package.json asks for it, and the SDK promises to run in it");
  const built = await Bun.build({ entrypoints: [join(FOLDER, "client.ts")], target: "browser", format: "esm" });
  const bundle = await built.outputs[0]?.text();
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    routes: {
      "/v1/sync": () => Response.json({ frames: [], cursor: { epoch: "e1", timeline: 7, groups: {} }, more: false }),
      "/v1/messages": () =>
        Response.json(
          { id: "m8", conversation: "@bob", from: "me", text: "hi", seq: 8, sentAt: 1, ref: "r" },
          { status: 201 },
        ),
    },
  });
  const program = `${bundle}
    const client = new ParleyClient({ url: ${JSON.stringify(server.url.href)}, token: "t", transport: "poll" });
    await client.connect();
    const sent = await client.send({ to: "@bob", text: "hi", ref: "r" });
    console.log(client.state, client.cursor().timeline, sent.seq);
    await client.close();
    process.exit(0);`;
  const run = Bun.spawn([node, "--input-type=module", "-e", program], { stdout: "pipe", stderr: "pipe" });
  const [out, errors] = await Promise.all([new Response(run.stdout).text(), new Response(run.stderr).text()]);
  await run.exited;
  await server.stop(true);
  expect([out.trim(), errors]).toEqual(["live 7 8", ""]);
});
