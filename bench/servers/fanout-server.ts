/**
 * The floor of fan-out: the fastest server that we could write on Bun's WebSockets which passes a message to all
 * members of a group. It stores nothing. Every frame is encoded once, and gathered per socket and turn of the event
 * loop as in Parley. `hello` names the groups that a user is in.
 *
 * It is a process of its own: it prints its address and ends on SIGTERM.
 */
import type { ServerWebSocket } from "bun";
import type { SendFrame } from "../../src/protocol/frames.ts";
import { Gathering, type Gathered } from "./gathering.ts";

type Hello = { t: "hello"; token: string; groups: string[] };
type Session = Gathered & { user: string };
type Socket = ServerWebSocket<Session>;
type Group = { members: Socket[]; seq: number };

export function startFanoutServer(port = 0) {
  const groups = new Map<string, Group>();
  const out = new Gathering<Session>();
  const idPrefix = Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("base64url");
  let lastId = 0;

  function onSend(ws: Socket, { ref, to, text }: SendFrame): void {
    const group = groups.get(to);
    if (group === undefined) return out.push(ws, JSON.stringify({ t: "error", ref, code: "unknown_address" }));
    const id = idPrefix + (++lastId).toString(36).padStart(6, "0");
    const placed = `"conversation":"${to}","seq":${++group.seq},"sentAt":${Date.now()}}`;
    out.push(ws, `{"t":"sent","ref":${JSON.stringify(ref)},"id":"${id}",${placed}`);
    const frame = `{"t":"message","id":"${id}","from":"${ws.data.user}","text":${JSON.stringify(text)},${placed}`;
    for (const member of group.members) if (member !== ws) out.push(member, frame);
  }

  function onHello(ws: Socket, { token, groups: ids }: Hello): void {
    // Names are written into frames without escaping.
    if (![token, ...ids].every((name) => /^#?[a-z0-9]+$/.test(name))) return ws.close();
    ws.data.user = token;
    for (const id of ids) {
      const group = groups.get(id) ?? { members: [], seq: 0 };
      group.members.push(ws);
      groups.set(id, group);
    }
    out.push(ws, JSON.stringify({ t: "welcome", user: token, timeline: 0, groups: {} }));
  }

  return Bun.serve<Session>({
    port,
    hostname: "127.0.0.1",
    fetch(request, server) {
      const data: Session = { user: "", frames: [] };
      return server.upgrade(request, { data }) ? undefined : new Response("the floor of fan-out\n");
    },
    websocket: {
      perMessageDeflate: false,
      idleTimeout: 120,
      message(ws, text) {
        const frame = JSON.parse(text as string) as Hello | SendFrame | { t: "ping" };
        if (frame.t === "send") onSend(ws, frame);
        else if (frame.t === "hello") onHello(ws, frame);
        else out.push(ws, '{"t":"pong"}');
      },
      close(ws) {
        for (const group of groups.values()) group.members = group.members.filter((member) => member !== ws);
      },
    },
  });
}

if (import.meta.main) {
  const server = startFanoutServer();
  process.on("SIGTERM", () => process.exit(0));
  console.log(`fan-out listening on http://127.0.0.1:${server.port}`);
}
