/** What handles a WebSocket of this process: a session (home/session/socket-session.ts), or the near end of a relay. */
import type { CloseCode } from "../../protocol/codes.ts";

export type SocketEnd = {
  received(data: string | Buffer): void;
  /** A ping or a pong of so many bytes. */
  heard(bytes: number): void;
  drained(): void;
  /** The connection was closed by either end. */
  ended(): void;
  /** As in `WatchedSocket` (src/node/connections.ts). */
  hasRead(bytes: number): boolean;
  readonly lingerMs: number;
  gone(): void;
  /** Another connection gets the place of this one. */
  giveWay(): void;
  /** `afterMs`: when to come back, for codes that ask for it. */
  close(code: CloseCode, reason: string, afterMs?: number): void;
};
