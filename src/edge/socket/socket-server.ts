/** The WebSocket side of a node: the callbacks of Bun. */
import type { WebSocketHandler } from "bun";
import type { AdmittedSocket } from "./admission.ts";
import type { ClientConnection, ClientSocket } from "../../home/session/client-socket.ts";
import type { SocketEnd } from "./socket-end.ts";

const nothing = (): void => {};

/** What a connection keeps from its upgrade on. It counts until it is gone, which is later than its close. */
export class SocketData {
  readonly admitted: AdmittedSocket;
  session: SocketEnd | undefined;
  /** Called at the close. */
  closed = nothing;

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
/** Above what a link to another node leaves in its connection (src/cluster/link/link.ts). */
const BACKPRESSURE_BYTES_MIN = 2 << 20;

export type SocketSettings = {
  /** Bound of one socket's send queue, bytes. */
  readonly outboxBytesMax: number;
  readonly heartbeatMs: number;
  begin(socket: ClientSocket, connection: ClientConnection): SocketEnd;
};

/** @param open the sockets that are open */
export function createSocketHandler(settings: SocketSettings, open: Set<SocketEnd>): WebSocketHandler<SocketData> {
  return {
    maxPayloadLength: PAYLOAD_BYTES_MAX,
    backpressureLimit: Math.max(settings.outboxBytesMax * BACKPRESSURE_FACTOR, BACKPRESSURE_BYTES_MIN),
    closeOnBackpressureLimit: false,
    idleTimeout: Math.min(960, Math.ceil((settings.heartbeatMs * 2.5) / 1000)),
    sendPings: true,
    open(socket) {
      const session = settings.begin(socket, socket.data.admitted);
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
