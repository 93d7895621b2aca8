/**
 * The floor: the fastest server that we could write on Bun's own WebSockets for the same five frames (send, sent,
 * message, received, receipt). It stores nothing, checks no token and survives no restart. Every cost of Parley above
 * the floor pays for a promise that the floor does not make. Frames have the fields and sizes of docs/protocol.md.
 *
 * What makes it fast, measured side by side (docs/decisions/2026-11-28-true-floor.md):
 * - Frames gather per socket during one turn of the event loop and leave in one write to the kernel, as in Parley's
 *   outbox (src/home/session/outbox.ts). This saves a third of the CPU of one write per frame.
 * - Outgoing frames are concatenated from text. `JSON.stringify` runs only for strings that come from a client.
 * - Frames are read with `JSON.parse`, as by any server that cannot trust its clients.
 *
 * It is a process of its own: `floor-server.ts [--log FILE]` prints its address and ends on SIGTERM.
 */
import { parseArgs } from "node:util";
import type { ServerWebSocket } from "bun";
import type { ReceivedFrame, SendFrame } from "../../src/protocol/frames.ts";
import { BareLog } from "./bare-log.ts";
import { Gathering, type Gathered } from "./gathering.ts";

type HelloFrame = { t: "hello"; token: string };
type Frame = HelloFrame | SendFrame | ReceivedFrame | { t: "ping" };
type Session = Gathered & {
  user: string;
  /** `@user`. */
  address: string;
  seq: number;
  /** The sender of each message, by its seq for this user (mod UNCONFIRMED_MAX), with its seq for the sender. */
  senders: (Socket | undefined)[];
  senderSeqs: number[];
};
type Socket = ServerWebSocket<Session>;

/** Messages of one receiver that may wait for their `received`. */
const UNCONFIRMED_MAX = 1024;
const NOBODY = "";

const newSession = (): Session => ({
  user: NOBODY,
  address: NOBODY,
  seq: 0,
  senders: [],
  senderSeqs: [],
  frames: [],
});

/** @param log every message is written there before its `sent`: the floor with a bare log */
export function startFloor(port = 0, hostname = "127.0.0.1", log?: BareLog) {
  const sockets = new Map<string, Socket>();
  const out = new Gathering<Session>();
  const idPrefix = Buffer.from(crypto.getRandomValues(new Uint8Array(12))).toString("base64url");
  let lastId = 0;
  const nextId = () => idPrefix + (++lastId).toString(36).padStart(6, "0");

  function onSend(ws: Socket, { ref, to, text }: SendFrame): void {
    const receiver = sockets.get(to);
    if (receiver === undefined) {
      out.push(ws, JSON.stringify({ t: "error", ref, code: "unknown_address", detail: `${to} is not here` }));
      return;
    }
    const id = nextId();
    const sentAt = Date.now();
    const sender = ws.data;
    const { senders, senderSeqs } = receiver.data;
    const seq = ++sender.seq;
    const receiverSeq = ++receiver.data.seq;
    senders[receiverSeq % UNCONFIRMED_MAX] = ws;
    senderSeqs[receiverSeq % UNCONFIRMED_MAX] = seq;
    const sent = `{"t":"sent","ref":${JSON.stringify(ref)},"id":"${id}","conversation":"${receiver.data.address}","seq":${seq},"sentAt":${sentAt}}`;
    const message = `{"t":"message","id":"${id}","conversation":"${sender.address}","from":"${sender.user}","text":${JSON.stringify(text)},"seq":${receiverSeq},"sentAt":${sentAt}}`;
    if (log === undefined) {
      out.push(ws, sent);
      out.push(receiver, message);
    } else {
      log.append(message, () => {
        out.push(ws, sent);
        out.push(receiver, message);
      });
    }
  }

  function onReceived(ws: Socket, frame: ReceivedFrame): void {
    const { user, address, senders, senderSeqs } = ws.data;
    const sender = senders[frame.seq % UNCONFIRMED_MAX];
    const seq = senderSeqs[frame.seq % UNCONFIRMED_MAX];
    if (sender === undefined) return;
    out.push(
      sender,
      `{"t":"receipt","kind":"delivered","conversation":"${address}","by":"${user}","seq":${seq},"mark":${seq}}`,
    );
  }

  function onHello(ws: Socket, { token }: HelloFrame): void {
    // Names are written into frames without escaping.
    if (!/^[a-z0-9]+$/.test(token)) return ws.close();
    ws.data.user = token;
    ws.data.address = `@${token}`;
    sockets.set(ws.data.address, ws);
    out.push(ws, JSON.stringify({ t: "welcome", user: token, timeline: 0, groups: {} }));
  }

  return Bun.serve<Session>({
    port,
    hostname,
    fetch(request, server) {
      return server.upgrade(request, { data: newSession() }) ? undefined : new Response("the floor\n");
    },
    websocket: {
      perMessageDeflate: false,
      idleTimeout: 120,
      message(ws, text) {
        const frame = JSON.parse(text as string) as Frame;
        if (frame.t === "send") onSend(ws, frame);
        else if (frame.t === "received") onReceived(ws, frame);
        else if (frame.t === "hello") onHello(ws, frame);
        else out.push(ws, '{"t":"pong"}');
      },
      close(ws) {
        sockets.delete(ws.data.address);
      },
    },
  });
}

if (import.meta.main) {
  const { log } = parseArgs({ options: { log: { type: "string" } } }).values;
  const server = startFloor(0, "127.0.0.1", log === undefined ? undefined : new BareLog(log));
  process.on("SIGTERM", () => process.exit(0));
  console.log(`floor listening on http://127.0.0.1:${server.port}`);
}
