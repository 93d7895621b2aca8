/**
 * Follows WebSockets that were closed until the kernel has let them go, and ends those that take too long.
 *
 *     closed ─── the other end has all of it ─── DELIVERED_LINGER_MS ──┐
 *        └────────────── the socket's own lingerMs ────────────────────┴─ ended by the kernel ─── gone
 *
 * The runtime calls a connection closed as soon as a close frame is on its way, in either direction. It then keeps the descriptor until the other end
 * leaves, for up to 16 seconds, and `terminate` does nothing any more. So the kernel is asked: by descriptor, which is looked for once.
 * Descriptors of open WebSockets are remembered, so that a search asks only for those that are new.
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
  /** Where the server listens. */
  port: number;
  openDescriptors: () => Promise<number[]>;
};

/** For the client to read the close and answer it, once its system has it. */
export const DELIVERED_LINGER_MS = 1000;
export const CLOSED_LOOK_EVERY_MS = 25;
/** By then the runtime has ended it, also where the system cannot say so. */
const GONE_MS = 30_000;
/** Looking rests so many times as long as it took. */
const REST = 20;
/** Descriptors that are looked at in one turn of the event loop: about a millisecond. */
const TURN = 256;

export class ClosedSockets {
  readonly #parts: ClosedSocketsParts;
  #looking: Promise<void> = Promise.resolve();
  #cancelLook: (() => void) | undefined;
  #isFollowing = false;
  #isStopped = false;
  /** The look under way, without what came in between, milliseconds. */
  #tookMs = 0;

  constructor(parts: ClosedSocketsParts) {
    this.#parts = parts;
    parts.connections.onClosed = () => this.#follow();
  }

  /** Before the kernel's calls are let go of. */
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
    // Those that are closed from now on may be missing in the list of descriptors.
    const closed = [...connections.closed];
    const isListed = closed.every(({ descriptor }) => descriptor !== undefined) || (await this.#find());
    const gone = clock.monotonicMs() - GONE_MS;
    await this.#inTurns(closed, (known) => {
      if (isListed || known.descriptor !== undefined || known.closedAtMs! <= gone) this.#check(known);
    });
    this.#isFollowing = connections.hasClosed;
    if (this.#isFollowing && !this.#isStopped) this.#lookAfter(Math.max(CLOSED_LOOK_EVERY_MS, REST * this.#tookMs));
    this.#tookMs = 0;
  }

  /** Finds the descriptor of every WebSocket that is not known to have one. @returns whether the system could list them */
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

  /** What a number stands for changes when the connection has gone: it is asked for its other end. */
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

/** Whoever had longer than that to read and did not: what waits for them in the kernel would stay there without an owner. */
const isLost = ({ socket }: KnownSocket, { isDelivered }: KernelSocket): boolean =>
  !isDelivered && socket.lingerMs >= DELIVERED_LINGER_MS;

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
