/** The page at the server's address in a browser: links to the protocol, the API and the health checks. */
import { createHash } from "node:crypto";
import protocol from "../../../docs/protocol.md" with { type: "text" };
import { BASE_HEADERS } from "./problem.ts";

const STYLE = `
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 36rem; margin: 12vh auto 0; padding: 0 1.5rem; }
h1 { margin: 0; font-size: 2rem; }
small { font-weight: normal; opacity: 0.6; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.5rem 1.5rem; margin: 2rem 0; }
dt, code { font-family: ui-monospace, monospace; }
dd { margin: 0; }
a { color: light-dark(#0b57d0, #8ab4f8); }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 0.75rem; } }
`;

export function landingPage(version: string): Response {
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Parley</title>
<style>${STYLE}</style>
<h1>Parley <small>${version}</small></h1>
<p>A messenger server. This is where clients connect, over WebSocket or HTTP.</p>
<dl>
<dt><a href="/protocol.md">/protocol.md</a></dt><dd>the protocol: every frame, every call, what is guaranteed</dd>
<dt><a href="/openapi.json">/openapi.json</a></dt><dd>the HTTP calls, with their shapes and errors</dd>
<dt>/v1/ws</dt><dd>the WebSocket</dd>
<dt><a href="/healthz">/healthz</a>, <a href="/readyz">/readyz</a></dt><dd>health checks</dd>
</dl>
</html>
`;
  const style = `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`;
  const policy = `${BASE_HEADERS["content-security-policy"]}; ${style}`;
  return text(page, "text/html", { "content-security-policy": policy });
}

/** The protocol document of this version. As plain text: browsers show it instead of saving it. */
export const protocolPage = (): Response => text(protocol, "text/plain");

function text(body: string, type: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { headers: { ...BASE_HEADERS, ...headers, "content-type": `${type}; charset=utf-8` } });
}
