/** What a person sees who opens the server's address in a browser. */
import { BASE_HEADERS } from "./problem.ts";

export function landingPage(version: string): Response {
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parley</title>
<h1>Parley ${version}</h1>
<p>A messenger server. It speaks HTTP and WebSocket; this is where clients connect.</p>
<ul>
<li><a href="/openapi.json">/openapi.json</a>: every HTTP call, with its shapes and errors</li>
<li>/v1/ws: the WebSocket</li>
<li><a href="/healthz">/healthz</a> and <a href="/readyz">/readyz</a>: is it well</li>
</ul>
<p>The protocol is described in docs/protocol.md of the source.</p>
</html>
`;
  return new Response(page, { headers: { ...BASE_HEADERS, "content-type": "text/html; charset=utf-8" } });
}
