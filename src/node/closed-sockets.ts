/**
 * Watches closed WebSockets until the kernel has released them, and ends those that take too long.
 *
 *     closed ─── the other end has all of it ─── DELIVERED_LINGER_MS ──┐
 *        └────────────── the socket's own lingerMs ────────────────────┴─ ended by the kernel ─── gone
 *
 * The runtime calls a connection closed as soon as a close frame is on its way, in either direction. It then keeps the
 * descriptor until the other end leaves, for up to 16 seconds, and `terminate` has no effect any more. So this class
 * asks the kernel, by descriptor. Each descriptor is searched for once. The descriptors of open WebSockets are
 * remembered, so a search asks the kernel only about new ones.
 *
 * Linux only, as kernel-sockets.ts. Elsewhere a closed connection counts as gone at once.
 */
import type { Clock } from "../base/clock.ts";
import type { Connections, KnownSocket } from "./connections.ts";
import type { KernelSocket, KernelSockets } from "./kernel-sockets.ts";

export type ClosedSocketsParts = {
  connections: Connections;
  clock: Clock;
  kernel: Pick<KernelSockets, "at" | "end">;
  /** The port on which the server listens. */
  port: number;
  openDescriptors: () => Promise<number[]>;
};

/** Time for the client to answer the close, once its system has received it. */
export const DELIVERED_LINGER_MS = 1000;
export const CLOSED_LOOK_EVERY_MS = 25;
/** After this time the runtime has certainly ended the connection, even if the kernel cannot be asked. */
const GONE_MS = 30_000;
/** The pause after a look, as a multiple of the time that the look took. */
const REST_FACTOR = 20;
/** Descriptors that are looked at in one turn of the event loop: about a millisecond. */
const TURN = 256;

export class ClosedSockets {
  readonly #parts: ClosedSocketsParts;
  #looking: Promise<void> = Promise.resolve();
  #cancelLook: (() => void) | undefined;
  #isFollowing = false;
  #isStopped = false;
  /** Time spent in the present look, without what ran in between, ms. */
  #tookMs = 0;

  constructor(parts: ClosedSocketsParts) {
    this.#parts = parts;
    parts.connections.onClosed = () => this.#follow();
  }

  /** Call it before `KernelSockets.close`. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#parts.connections.onClosed = undefined;
    this.#cancelLook?.();
    await this.#looking;
  }

  #follow(): void {
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    this.#lookAfter(CLOSED_LOOK_EVERY_MS);
  }

  #lookAfter(ms: number): void {
    this.#cancelLook = this.#parts.clock.after(ms, () => void (this.#looking = this.#look()));
  }

  async #look(): Promise<void> {
    const { connections, clock } = this.#parts;
    // A WebSocket that is closed from now on may be missing in the list of descriptors.
    const closed = [...connections.closed];
    const isListed = closed.every(({ descriptor }) => descriptor !== undefined) || (await this.#find());
    const gone = clock.monotonicMs() - GONE_MS;
    await this.#inTurns(closed, (known) => {
      if (isListed || known.descriptor !== undefined || known.closedAtMs! <= gone) this.#check(known);
    });
    this.#isFollowing = connections.hasClosed;
    if (this.#isFollowing && !this.#isStopped)
      this.#lookAfter(Math.max(CLOSED_LOOK_EVERY_MS, REST_FACTOR * this.#tookMs));
    this.#tookMs = 0;
  }

  /** Finds the descriptors of WebSockets that have none yet. @returns whether the system could list them */
  async #find(): Promise<boolean> {
    const { connections, kernel, port, openDescriptors } = this.#parts;
    const all = await openDescriptors();
    const unknown = all.filter((descriptor) => !connections.isOpenAt(descriptor));
    await this.#inTurns(unknown, (descriptor) => {
      const socket = kernel.at(descriptor, port);
      if (socket !== undefined) connections.found(socket.peer, descriptor);
    });
    return all.length > 0 && !this.#isStopped;
  }

  /** A descriptor's number may belong to another connection by now, so its other end is compared first. */
  #check(known: KnownSocket): void {
    const { connections, kernel, clock, port } = this.#parts;
    const { descriptor } = known;
    const socket = descriptor === undefined ? undefined : kernel.at(descriptor, port);
    if (socket === undefined || socket.peer !== known.peer) return connections.gone(known);
    const now = clock.monotonicMs();
    if (socket.isDelivered) known.deliveredAtMs ??= now;
    if (now < endAtMs(known)) return;
    kernel.end(socket.descriptor, isLost(known, socket));
  }

  async #inTurns<T>(all: T[], work: (one: T) => void): Promise<void> {
    const { clock } = this.#parts;
    for (let from = 0; from < all.length && !this.#isStopped; from += TURN) {
      if (from > 0) await nextTurn();
      if (this.#isStopped) break;
      const startedAt = clock.monotonicMs();
      for (const one of all.slice(from, from + TURN)) work(one);
      this.#tookMs += clock.monotonicMs() - startedAt;
    }
  }
}

function endAtMs({ closedAtMs, deliveredAtMs, socket }: KnownSocket): number {
  const delivered = (deliveredAtMs ?? Number.POSITIVE_INFINITY) + DELIVERED_LINGER_MS;
  return Math.min(delivered, closedAtMs! + socket.lingerMs);
}

/**
 * Whether the client had enough time and still has not read everything. Unread bytes would stay in the kernel without
 * an owner.
 */
const isLost = ({ socket }: KnownSocket, { isDelivered }: KernelSocket): boolean =>
  !isDelivered && socket.lingerMs >= DELIVERED_LINGER_MS;

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
