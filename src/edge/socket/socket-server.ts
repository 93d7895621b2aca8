/** The WebSocket side of a node: the callbacks of Bun. */
import type { WebSocketHandler } from "bun";
import type { AdmittedSocket } from "./admission.ts";
import type { SocketContext } from "../../home/session/socket-context.ts";
import { SocketSession } from "../../home/session/socket-session.ts";

/** What a connection keeps from its upgrade on. It counts until it is gone, which is later than its close. */
export class SocketData {
  readonly admitted: AdmittedSocket;
  session: SocketSession | undefined;
  /** Called at the close. */
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
 * A frame above the protocol's limit gets a refusal up to this size; above it the runtime ends the connection. The
 * runtime holds the part of a frame that has come, also of a stranger's. The bound is the same for all sockets.
 */
const PAYLOAD_BYTES_MAX = 128 << 10;
/** Bun's own bound is above ours: if it is reached, frames were dropped. */
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
