/**
 * The connections in use, by their other end: open WebSockets, and HTTP requests that are being answered. All others
 * are idle. The runtime does not show those, for example connections that have sent no complete request.
 *
 * A closed WebSocket counts until the kernel has released it. The runtime calls it closed at once, and keeps it for up
 * to 16 seconds more.
 *
 * Not here: how many connections there may be (connection-room.ts), and the search for closed ones that have gone
 * (closed-sockets.ts). Limits of an address belong here, beside the count.
 */
import type { SocketAddress } from "bun";
import type { Clock } from "../base/clock.ts";
import { AppError } from "../base/errors.ts";
import { peerKey } from "./kernel-sockets.ts";

const FULL_MS = 5000;

/** What the watchers of connections need from a WebSocket. */
export type WatchedSocket = {
  /**
   * Reports how many bytes of the connection have been read since it began. @returns whether to end it, since the
   * runtime does not
   */
  hasRead(bytes: number): boolean;
  /** How long it may stay after it was closed, ms. */
  readonly lingerMs: number;
  /** The kernel has released it. */
  gone(): void;
};

/** A WebSocket, open or closed. */
export type KnownSocket = {
  /** Its other end, as `peerKey` writes it. */
  readonly peer: string;
  readonly socket: WatchedSocket;
  /** Undefined until it is found. It stays the same until the connection has gone. */
  descriptor: number | undefined;
  closedAtMs: number | undefined;
  /** When the other end had first received everything, the close included. */
  deliveredAtMs: number | undefined;
};

export class Connections {
  readonly #clock: Clock;
  /** How many uses each connection has. Above 1 only for the moment between two requests. */
  readonly #inUse = new Map<string, number>();
  readonly #sockets = new Map<string, KnownSocket>();
  /** Closed WebSockets that have not gone, the first closed one first. */
  readonly #closed = new Set<KnownSocket>();
  /** Open WebSockets by descriptor, where it is known. */
  readonly #atDescriptor = new Map<number, KnownSocket>();
  /**
   * Called when a WebSocket was closed, to start waiting until it has gone. If absent, a closed WebSocket counts as
   * gone at once.
   */
  onClosed: (() => void) | undefined;
  /** The most connections in use. Further ones are accepted only to be refused. */
  max = Number.POSITIVE_INFINITY;
  /** There is no room, and no idle connection can be closed. WebSockets are refused. */
  isFull = false;
  /** How many WebSockets were refused because of `isFull`. */
  refused = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A connection is in use until the returned function is called.
   * @param peer its other end; null when it is gone already
   */
  use(peer: SocketAddress | null): () => void {
    if (peer === null) return () => {};
    const key = this.#arrived(peer);
    return () => this.#left(key);
  }

  /**
   * A WebSocket is in use until the returned function is called, and counts until it has gone. @param peer as for `use`
   */
  open(peer: SocketAddress | null, socket: WatchedSocket): () => void {
    if (peer === null) return () => socket.gone();
    const key = this.#arrived(peer);
    const known: KnownSocket = {
      peer: key,
      socket,
      descriptor: undefined,
      closedAtMs: undefined,
      deliveredAtMs: undefined,
    };
    this.#sockets.set(key, known);
    return () => {
      this.#left(key);
      this.#closing(known);
    };
  }

  #arrived(peer: SocketAddress): string {
    const key = peerKey(peer.address, peer.port);
    const before = this.#sockets.get(key);
    // Another connection with the same other end means that the former one has gone.
    if (before?.closedAtMs !== undefined) this.gone(before);
    this.#inUse.set(key, (this.#inUse.get(key) ?? 0) + 1);
    return key;
  }

  #left(key: string): void {
    const left = this.#inUse.get(key)! - 1;
    if (left > 0) this.#inUse.set(key, left);
    else this.#inUse.delete(key);
  }

  #closing(known: KnownSocket): void {
    known.closedAtMs = this.#clock.monotonicMs();
    if (known.descriptor !== undefined) this.#atDescriptor.delete(known.descriptor);
    this.#closed.add(known);
    if (this.onClosed === undefined) this.gone(known);
    else this.onClosed();
  }

  /** Call it when the kernel has released a closed WebSocket. */
  gone(known: KnownSocket): void {
    if (!this.#closed.delete(known)) return;
    this.#sockets.delete(known.peer);
    known.socket.gone();
  }

  /** The closed ones that have not gone. */
  get closed(): Iterable<KnownSocket> {
    return this.#closed;
  }

  get hasClosed(): boolean {
    return this.#closed.size > 0;
  }

  /** Notes the descriptor of the connection with this other end. */
  found(peer: string, descriptor: number): void {
    const known = this.#sockets.get(peer);
    if (known === undefined) return;
    known.descriptor = descriptor;
    if (known.closedAtMs === undefined) this.#atDescriptor.set(descriptor, known);
  }

  /** Whether an open WebSocket is known to have this descriptor. */
  isOpenAt(descriptor: number): boolean {
    return this.#atDescriptor.has(descriptor);
  }

  get hasSockets(): boolean {
    return this.#sockets.size > 0;
  }

  /** The WebSocket with this other end, if there is one. @param peer as `peerKey` writes it */
  socketOf(peer: string): WatchedSocket | undefined {
    return this.#sockets.get(peer)?.socket;
  }

  /** How many connections are in use, or closed and not gone. */
  get count(): number {
    return this.#inUse.size + this.#closed.size;
  }

  /** @param peer as `peerKey` writes it */
  isInUse(peer: string): boolean {
    return this.#inUse.has(peer);
  }

  /** Why a WebSocket must be refused; undefined when there is room. */
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
