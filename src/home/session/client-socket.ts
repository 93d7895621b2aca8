/**
 * What a session needs of the connection to its client. A socket of this process has all of it; one that is at another node can be put in its place.
 */
import type { UserId } from "../../domain/address.ts";

/** The frames' way out. As of Bun's `ServerWebSocket`. */
export type ClientSocket = {
  /** @returns bytes sent; -1 when they wait in the queue, 0 when the frame was dropped */
  sendText(frame: string): number;
  /** What is sent in `send` leaves in one write. */
  cork(send: () => void): unknown;
  /** Bytes that wait since the client does not read. */
  getBufferedAmount(): number;
  close(code: number, reason: string): void;
  /** Without a goodbye. */
  terminate(): void;
};

/** How the connection counts against limits (src/edge/socket/admission.ts). */
export type ClientConnection = {
  misbehaved(): void;
  saidHello(user: UserId): void;
};
