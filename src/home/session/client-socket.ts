/**
 * What a session needs of the connection to its client. Implemented by a socket of this process; a socket at another
 * node can implement it too.
 */
import type { UserId } from "../../domain/address.ts";

/** The way out for frames, as in Bun's `ServerWebSocket`. */
export type ClientSocket = {
  /** @returns bytes sent; -1 if they wait in the queue, 0 if the frame was dropped */
  sendText(frame: string): number;
  /** All that `send` sends leaves in one write. */
  cork(send: () => void): unknown;
  /** Bytes that wait because the client does not read. */
  getBufferedAmount(): number;
  /**
   * Of those, bytes that certainly wait for the client. Absent: all of them do. Others may be on their way to the node
   * that has the connection.
   */
  getUnreadAmount?(): number;
  /** The client is connected to another node. */
  readonly isRelayed?: boolean;
  close(code: number, reason: string): void;
  /** Ends the connection without a goodbye. */
  terminate(): void;
};

/** How the connection counts against limits (src/edge/socket/admission.ts). */
export type ClientConnection = {
  misbehaved(): void;
  saidHello(user: UserId): void;
};
