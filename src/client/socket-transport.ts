/**
 * A WebSocket as a transport. It does not reconnect: its owner decides what a close means. Frames arrive parsed, once
 * each. Anything that is not a JSON object ends the connection, because the order of later frames could not be trusted.
 */
import type { ServerFrame } from "../protocol/frames.ts";
import type { Transport, TransportEvents } from "./transport.ts";

type Handler<Event> = { bivarianceHack(event: Event): void }["bivarianceHack"] | null;

/** The used part of the standard WebSocket. */
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

/** @param token sent with the upgrade, so that a server that refuses strangers of this address accepts it */
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
    end(NO_STATUS, "the server sent data that is not a frame");
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
