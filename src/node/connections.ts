/**
 * The connections in use: open WebSockets, and requests that are being answered, by their other end. All others are idle, strangers who have sent no whole
 * request among them; the runtime does not show those.
 *
 * Not here: how many there may be (connection-room.ts). Limits of an address belong here, beside the count.
 */
import type { SocketAddress } from "bun";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { peerKey } from "./kernel-sockets.ts";

const FULL_MS = 5000;

/** By then the runtime has ended a connection that was closed. */
const GONE_MS = 30_000;

/** Is told how many bytes of a connection have been read since it began. @returns whether to end it, since the runtime does not */
export type HasRead = (bytes: number) => boolean;

export class Connections {
  readonly #clock: Clock;
  /** How often one is in use: more than once at most for the moment between two requests. */
  readonly #inUse = new Map<string, number>();
  /** The WebSockets, also those that are closed and may not have gone: the runtime forgets those at once, and reads what they send for 16 seconds more. */
  readonly #sockets = new Map<string, HasRead>();
  /** When the closed ones among them were closed, the first one first. */
  readonly #closedAt = new Map<string, number>();
  /** How many may be in use; more are let in only to be told so. */
  max = Number.POSITIVE_INFINITY;
  /** No idle one can be closed, and there is no room for more: WebSockets, which stay, are refused. */
  isFull = false;
  /** WebSockets that were refused for it. */
  refused = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A connection is in use until the returned function is called.
   * @param peer its other end; null when it is gone already
   * @param hasRead of a WebSocket
   */
  use(peer: SocketAddress | null, hasRead?: HasRead): () => void {
    if (peer === null) return () => {};
    const key = peerKey(peer.address, peer.port);
    // The one that had this other end has gone.
    if (this.#closedAt.delete(key)) this.#sockets.delete(key);
    if (hasRead !== undefined) this.#sockets.set(key, hasRead);
    this.#inUse.set(key, (this.#inUse.get(key) ?? 0) + 1);
    return () => {
      const left = this.#inUse.get(key)! - 1;
      if (left > 0) return void this.#inUse.set(key, left);
      this.#inUse.delete(key);
      if (hasRead !== undefined) this.#closedAt.set(key, this.#clock.monotonicMs());
    };
  }

  /** Forgets those that were closed long ago. */
  forgetClosed(): void {
    const until = this.#clock.monotonicMs() - GONE_MS;
    for (const [key, atMs] of this.#closedAt) {
      if (atMs > until) return;
      this.#closedAt.delete(key);
      this.#sockets.delete(key);
    }
  }

  get hasSockets(): boolean {
    return this.#sockets.size > 0;
  }

  /** Tells the WebSocket with this other end, if there is one. @param peer as `peerKey` writes it */
  socketOf(peer: string): HasRead | undefined {
    return this.#sockets.get(peer);
  }

  /** How many are in use. */
  get count(): number {
    return this.#inUse.size;
  }

  /** @param peer as `peerKey` writes it */
  isInUse(peer: string): boolean {
    return this.#inUse.has(peer);
  }

  /** Why there is no room for one that stays; undefined when there is. */
  refusal(): AppError | undefined {
    if (!this.isFull && this.count < this.max) return undefined;
    this.refused++;
    return new AppError(
      "unavailable",
      `the server has as many connections as it can (${this.count}); try again later`,
      {
        retryAfterMs: FULL_MS,
      },
    );
  }
}
