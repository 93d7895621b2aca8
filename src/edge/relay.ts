/**
 * The relay, as the edge sees it: carries connections and calls of users who live at another node to that node. A node
 * alone has none. Implemented in src/cluster/relay.
 */
import type { UserId } from "../domain/address.ts";
import type { CloseCode } from "../protocol/codes.ts";

/** A client's connection, carried to the home of its user. The frames pass as they are. */
export type Channel = {
  /** A frame of the client. @returns false if the home has not taken what came before: then the connection must end */
  frame(data: string | Buffer): boolean;
  /** A ping or a pong of the client, of so many bytes. */
  heard(bytes: number): void;
  /** So many bytes of frames have come since the last report, and so many of all wait because the client does not read. */
  drained(came: number, waiting: number): void;
  /** The client's connection has ended. */
  closed(): void;
};

export type ChannelEvents = {
  /** A frame for the client. */
  frame(text: string): void;
  close(code: CloseCode, reason: string): void;
  terminate(): void;
  misbehaved(): void;
  saidHello(user: UserId): void;
  /** The home cannot be reached any more. The channel is closed. */
  lost(code: CloseCode, reason: string, afterMs: number): void;
};

export type SocketRelay = {
  /** Whether the user's home is this node. */
  isHere(user: UserId): boolean;
  /**
   * @param windowBytes frames that may be on their way to the home
   * @returns undefined if the home is out of reach now
   */
  open(user: UserId, events: ChannelEvents, windowBytes: number): Channel | undefined;
};

/** A call over HTTP on its way to another node, and its answer. */
export type RelayedCall = {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly clientIp: string | undefined;
  readonly body: Uint8Array;
};
export type RelayedAnswer = {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
};

export type CallRelay = {
  isHere(user: UserId): boolean;
  /** @throws AppError unavailable if the user's home is out of reach, or does not answer in time */
  call(user: UserId, call: RelayedCall, signal: AbortSignal): Promise<RelayedAnswer>;
};
