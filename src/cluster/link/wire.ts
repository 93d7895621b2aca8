/**
 * The connection under a link, as a port: whole messages in order, until it ends. A WebSocket of this process
 * (bun-wires.ts) is one implementation; the tests have others.
 */

export type Wire = {
  /** @returns false if the wire is closed: then nothing was sent */
  send(bytes: Uint8Array): boolean;
  /** Bytes that were sent and that the other end has not taken from this process. */
  readonly bufferedBytes: number;
  /** Ends the connection at once. `WireEvents.closed` may follow, or not. */
  close(): void;
};

export type WireEvents = {
  /** `bytes` belong to the receiver. */
  message(bytes: Buffer): void;
  /** Some of `bufferedBytes` have left. */
  drained(): void;
  closed(): void;
};

/** Makes connections to other nodes. */
export type Dialer = {
  /** @returns the wire, which is not open yet. Later it tells `opened`, or `closed` if it cannot be opened. */
  dial(url: string, events: WireEvents & { opened(): void }): Wire;
};
