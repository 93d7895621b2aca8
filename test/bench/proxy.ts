/** A server between a load and a floor, which loses, doubles or changes frames. */

/** Relays to a floor; `change` sees each text frame of the server and sends what the client gets. */
export type ChangeFrame = (frame: string, send: (frame: string) => void) => void;

export function proxyOf(floorPort: number, change: ChangeFrame) {
  type Data = { upstream: WebSocket };
  return Bun.serve<Data>({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, server) {
      const upstream = new WebSocket(`ws://127.0.0.1:${floorPort}/v1/ws`);
      return server.upgrade(request, { data: { upstream } }) ? undefined : new Response();
    },
    websocket: {
      open(ws) {
        const send = (frame: string) => void ws.send(frame);
        ws.data.upstream.onmessage = (event) => change(String(event.data), send);
      },
      message(ws, text) {
        const { upstream } = ws.data;
        if (upstream.readyState === WebSocket.OPEN) upstream.send(text);
        else upstream.addEventListener("open", () => upstream.send(text));
      },
      close: (ws) => ws.data.upstream.close(),
    },
  });
}
