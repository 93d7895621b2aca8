/**
 * The floor: what a bare Bun WebSocket server costs for the same five frames (send, sent, message, received, receipt). It stores
 * nothing, checks nobody, survives nothing. Every cost of Parley above this one is paid for a promise that this server does not make.
 * Frames have the fields and sizes of docs/protocol.md. Hand-made JSON instead of
 * `JSON.stringify` was tried and measured the same. Run as a process of its own: prints its address, ends on SIGTERM.
 */
import type { ServerWebSocket } from "bun";
import type { ReceivedFrame, SendFrame } from "../src/protocol/frames.ts";

type HelloFrame = { t: "hello"; token: string };
type Frame = HelloFrame | SendFrame | ReceivedFrame | { t: "ping" };
/** Who sent what, by the seq of this user's numbering (mod UNCONFIRMED_MAX), with the seq that it has for the sender. */
type Session = { user: string; seq: number; senders: (Socket | undefined)[]; senderSeqs: number[] };
type Socket = ServerWebSocket<Session>;

/** Messages of one receiver that may wait for their `received`. */
const UNCONFIRMED_MAX = 1024;

export function startFloor(port = 0, hostname = "127.0.0.1") {
  const sockets = new Map<string, Socket>();
  const idPrefix = Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("base64url");
  let lastId = 0;
  const nextId = () => idPrefix + (++lastId).toString(36).padStart(6, "0");

  function onSend(ws: Socket, frame: SendFrame): void {
    const receiver = sockets.get(frame.to);
    if (receiver === undefined) {
      ws.send(
        JSON.stringify({ t: "error", ref: frame.ref, code: "unknown_address", detail: `${frame.to} is not here` }),
      );
      return;
    }
    const id = nextId();
    const sentAt = Date.now();
    const from = ws.data;
    const to = receiver.data;
    const seq = ++from.seq;
    const receiverSeq = ++to.seq;
    to.senders[receiverSeq % UNCONFIRMED_MAX] = ws;
    to.senderSeqs[receiverSeq % UNCONFIRMED_MAX] = seq;
    ws.send(JSON.stringify({ t: "sent", ref: frame.ref, id, conversation: frame.to, seq, sentAt }));
    receiver.send(
      JSON.stringify({
        t: "message",
        id,
        conversation: `@${from.user}`,
        from: from.user,
        text: frame.text,
        seq: receiverSeq,
        sentAt,
      }),
    );
  }

  function onReceived(ws: Socket, frame: ReceivedFrame): void {
    const { user, senders, senderSeqs } = ws.data;
    const sender = senders[frame.seq % UNCONFIRMED_MAX];
    const seq = senderSeqs[frame.seq % UNCONFIRMED_MAX];
    sender?.send(
      JSON.stringify({ t: "receipt", kind: "delivered", conversation: `@${user}`, by: user, seq, mark: seq }),
    );
  }

  function onHello(ws: Socket, frame: HelloFrame): void {
    ws.data.user = frame.token;
    sockets.set(`@${frame.token}`, ws);
    ws.send(JSON.stringify({ t: "welcome", user: frame.token, timeline: 0, groups: {} }));
  }

  return Bun.serve<Session>({
    port,
    hostname,
    fetch(request, server) {
      const data: Session = { user: "", seq: 0, senders: [], senderSeqs: [] };
      return server.upgrade(request, { data }) ? undefined : new Response("the floor\n");
    },
    websocket: {
      perMessageDeflate: false,
      idleTimeout: 120,
      message(ws, text) {
        const frame = JSON.parse(text as string) as Frame;
        if (frame.t === "send") onSend(ws, frame);
        else if (frame.t === "received") onReceived(ws, frame);
        else if (frame.t === "hello") onHello(ws, frame);
        else ws.send('{"t":"pong"}');
      },
      close(ws) {
        sockets.delete(`@${ws.data.user}`);
      },
    },
  });
}

if (import.meta.main) {
  const server = startFloor();
  process.on("SIGTERM", () => process.exit(0));
  console.log(`floor listening on http://127.0.0.1:${server.port}`);
}
