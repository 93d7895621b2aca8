/**
 * A WebSocket as a transport. Not a reconnecting one: whoever owns it decides what a close means. Frames arrive parsed, once; what is no
 * JSON object ends the connection, because nothing that follows could be trusted to be in order.
 */
import type { ServerFrame } from "../protocol/frames.ts";
import type { Transport, TransportEvents } from "./transport.ts";

type Handler<Event> = { bivarianceHack(event: Event): void }["bivarianceHack"] | null;

/** The part of the standard WebSocket that is used. */
export type SocketLike = {
  onopen: Handler<unknown>;
  onmessage: Handler<{ data: unknown }>;
  onclose: Handler<{ code: number; reason: string }>;
  onerror: Handler<unknown>;
  send(data: string): void;
  close(code?: number, reason?: string): void;
  readonly readyState: number;
};
export type SocketConstructor = new (url: string, protocols?: string[]) => SocketLike;

const NO_STATUS = 1006;
const OPEN = 1;

/** @param token shown with the upgrade already: a server that refuses strangers of this address takes it all the same */
export function startSocket(
  Socket: SocketConstructor,
  url: string,
  events: TransportEvents,
  token?: string,
): Transport {
  const at = `${url.replace(/^http/, "ws").replace(/\/+$/, "")}/v1/ws`;
  const socket = token === undefined ? new Socket(at) : new Socket(at, ["parley", `token.${token}`]);
  const release = () => {
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    // Some implementations throw when an error has no listener.
    socket.onerror = () => {};
  };
  const end = (code: number, reason: string) => {
    release();
    events.closed(code, reason);
  };
  socket.onopen = () => events.opened();
  socket.onerror = () => {};
  socket.onclose = (event) => end(event.code, event.reason);
  socket.onmessage = (event) => {
    const frame = parseFrame(event.data);
    if (frame !== undefined) return events.frame(frame);
    socket.close();
    end(NO_STATUS, "the server sent something that is not a frame");
  };
  return {
    kind: "socket",
    carriesMarks: true,
    window: undefined,
    send(frame) {
      if (socket.readyState === OPEN) socket.send(JSON.stringify(frame));
    },
    close() {
      release();
      socket.close(1000);
    },
  };
}

function parseFrame(data: unknown): ServerFrame | undefined {
  if (typeof data !== "string") return undefined;
  try {
    const frame: unknown = JSON.parse(data);
    return typeof frame === "object" && frame !== null && "t" in frame ? (frame as ServerFrame) : undefined;
  } catch {
    return undefined;
  }
}
