/** The WebSocket side of a node: what Bun calls. */
import type { WebSocketHandler } from "bun";
import type { AdmittedSocket } from "./admission.ts";
import type { SocketContext } from "../../home/session/socket-context.ts";
import { SocketSession } from "../../home/session/socket-session.ts";

/** What a connection brings along from its upgrade. It counts until it has gone, which is later than it is closed. */
export class SocketData {
  readonly admitted: AdmittedSocket;
  session: SocketSession | undefined;
  /** Called when it is closed. */
  closed: () => void = () => {};

  constructor(admitted: AdmittedSocket) {
    this.admitted = admitted;
  }

  hasRead(bytes: number): boolean {
    return this.session?.hasRead(bytes) ?? false;
  }

  get lingerMs(): number {
    return this.session?.lingerMs ?? 0;
  }

  gone(): void {
    this.admitted.ended();
    this.session?.gone();
  }
}

/**
 * Frames above the protocol's limit are refused politely up to this size; above it the runtime ends the connection. It holds what has come of a frame,
 * also of a stranger's, and its bound is the same for all sockets.
 */
const PAYLOAD_BYTES_MAX = 128 << 10;
/** Bun's own bound, above ours: reaching it means frames were dropped. */
const BACKPRESSURE_FACTOR = 2;

export function createSocketHandler(context: SocketContext, open: Set<SocketSession>): WebSocketHandler<SocketData> {
  return {
    maxPayloadLength: PAYLOAD_BYTES_MAX,
    backpressureLimit: context.outboxBytesMax * BACKPRESSURE_FACTOR,
    closeOnBackpressureLimit: false,
    idleTimeout: Math.min(960, Math.ceil((context.heartbeatMs * 2.5) / 1000)),
    sendPings: true,
    open(socket) {
      const session = new SocketSession(socket, context, socket.data.admitted);
      socket.data.session = session;
      socket.data.admitted.onGiveWay(() => session.giveWay());
      open.add(session);
    },
    message(socket, data) {
      socket.data.session!.received(data);
    },
    ping(socket, data) {
      socket.data.session!.heard(data.length);
    },
    pong(socket, data) {
      socket.data.session!.heard(data.length);
    },
    drain(socket) {
      socket.data.session!.drained();
    },
    close(socket) {
      const { session, closed } = socket.data;
      if (session !== undefined) {
        session.ended();
        open.delete(session);
      }
      closed();
    },
  };
}
