/**
 * Keeps descriptors free for the server's files by limiting connections.
 *
 *     open files      0 ─────────────── limit - free ─────── limit - free/2 ───── limit
 *                        all are let in │ the longest idle   │ nobody is accepted until
 *                                       │ ones are closed    │ idle ones were closed
 *
 * If closing idle connections is not enough, because all are in use, new connections are accepted only to be refused: a
 * WebSocket gets 503. Without this limit connections would use up every descriptor. Then no flush could open its files,
 * no client could connect, and the runtime would retry `accept` in a busy loop.
 *
 * Not here: the log's own reserve (storage/vfs/descriptor-reserve.ts), for what is opened between two looks.
 */
import type { Clock } from "../base/clock.ts";
import type { Logger } from "../base/logger.ts";
import type { Connections } from "./connections.ts";
import type { DescriptorBudget, Descriptors } from "./descriptors.ts";
import type { KernelSocket, KernelSockets } from "./kernel-sockets.ts";
import type { ListenerGate } from "./listener-gate.ts";

export type ConnectionRoomParts = {
  connections: Connections;
  clock: Clock;
  logger: Logger;
  descriptors: Descriptors;
  budget: DescriptorBudget;
  kernel: KernelSockets;
  /** Undefined where accepting cannot be stopped. */
  gate: ListenerGate | undefined;
  /** The port on which the server listens. */
  port: number;
  /** Called at each look, so that the log's reserve of descriptors can be refilled. */
  onLook: () => void;
};

/** Time between looks: the minimum when few descriptors are left, doubled after each look up to the maximum. */
const LOOK_EVERY_MS = { min: 1, max: 100 };
/**
 * For this long after accepting was stopped, the queue stays short and looks stay frequent: closed clients reconnect
 * all at once.
 */
const CALM_AFTER_MS = 10_000;
const NARROW_LOOK_EVERY_MS = 10;
/** The pause after a look, as a multiple of the time that the look took. */
const REST_FACTOR = 3;
/** A new connection has at least this long to send its request, unless descriptors are very short. */
const IDLE_MS_MIN = 500;
const SAY_AGAIN_MS = 60_000;
/** Descriptors that are looked at in one turn of the event loop: about a millisecond. */
const TURN = 256;

/** The share of the available descriptors that WebSockets may use. The rest is for HTTP requests. */
const STAYING_SHARE = 15 / 16;

/**
 * How many WebSockets this process has descriptors for. Up to this number, limits that are fair to users and addresses
 * decide who is admitted.
 */
export function socketsMax(descriptors: Descriptors, { free }: DescriptorBudget): number {
  return Math.max(1, Math.floor((descriptors.limit - free - (descriptors.inUse() ?? 0)) * STAYING_SHARE));
}

export class ConnectionRoom {
  readonly #parts: ConnectionRoomParts;
  readonly #gate: ListenerGate | undefined;
  /** Above `#many` open files idle connections are closed. Above `#most` nobody is accepted. */
  readonly #many: number;
  readonly #most: number;
  #everyMs: number = LOOK_EVERY_MS.max;
  #looking: Promise<void> = Promise.resolve();
  #cancelLook: (() => void) | undefined;
  #tightAt = Number.NEGATIVE_INFINITY;
  #isStopped = false;
  #saidAt = Number.NEGATIVE_INFINITY;
  #closed = 0;

  constructor(parts: ConnectionRoomParts) {
    const { gate, descriptors, budget, connections } = parts;
    this.#parts = parts;
    this.#gate = gate;
    this.#many = descriptors.limit - budget.free;
    this.#most = descriptors.limit - budget.free / 2;
    connections.max = Math.max(1, this.#many - (descriptors.inUse() ?? 0));
    this.#lookAfter(LOOK_EVERY_MS.max);
  }

  /** Call it before the listening socket is closed. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelLook?.();
    await this.#looking;
    this.#gate?.close();
    this.#parts.kernel.close();
  }

  #lookAfter(ms: number): void {
    this.#cancelLook = this.#parts.clock.after(ms, () => void (this.#looking = this.#look()));
  }

  async #look(): Promise<void> {
    const { descriptors, clock, connections, onLook } = this.#parts;
    onLook();
    const startedAt = clock.monotonicMs();
    const open = Math.min(descriptors.limit, descriptors.inUse() ?? 0);
    const isTight = open > this.#most;
    this.#accept(isTight, startedAt);
    if (open > this.#many) await this.#makeRoom(open, isTight);
    else connections.isFull = false;
    this.#say();
    if (!this.#isStopped) this.#lookAfter(Math.max(this.#everyMs, REST_FACTOR * (clock.monotonicMs() - startedAt)));
  }

  #accept(isTight: boolean, now: number): void {
    if (isTight) {
      this.#tightAt = now;
      this.#everyMs = LOOK_EVERY_MS.min;
      this.#gate?.shut(Math.floor(this.#parts.budget.free / 4));
      return;
    }
    const isCalm = now - this.#tightAt > CALM_AFTER_MS;
    this.#everyMs = Math.min(isCalm ? LOOK_EVERY_MS.max : NARROW_LOOK_EVERY_MS, 2 * this.#everyMs);
    this.#gate?.open();
    if (isCalm) this.#gate?.widen();
  }

  async #makeRoom(open: number, isTight: boolean): Promise<void> {
    // Connections that were accepted in this turn may have sent a request already. The runtime reads it in the next
    // turn.
    for (let turn = 0; turn < 2; turn++) await nextTurn();
    const idle = await this.#idle();
    const needed = open - this.#many;
    this.#parts.connections.isFull = idle.length < needed;
    // Close a few more than needed, so that not every new connection causes another search.
    const count = needed + Math.ceil(this.#parts.budget.free / 4);
    this.#end(idle.slice(0, count), isTight ? 0 : IDLE_MS_MIN);
    if (this.#parts.connections.isFull) this.#gate?.open();
  }

  /** Idle connections, the longest idle first. */
  async #idle(): Promise<KernelSocket[]> {
    const { descriptors, kernel, connections, port } = this.#parts;
    const idle: KernelSocket[] = [];
    for (let descriptor = 0; descriptor < descriptors.limit && !this.#isStopped; descriptor++) {
      if (descriptor % TURN === TURN - 1) await nextTurn();
      const socket = kernel.at(descriptor, port);
      if (socket !== undefined && !connections.isInUse(socket.peer)) idle.push(socket);
    }
    return idle.sort((a, b) => b.idleMs - a.idleMs);
  }

  /** Ends connections that are still idle and still have the same other end. */
  #end(idle: KernelSocket[], idleMsMin: number): void {
    const { kernel, connections, port } = this.#parts;
    for (const { descriptor, peer, idleMs } of idle) {
      if (idleMs < idleMsMin) return;
      if (connections.isInUse(peer) || kernel.at(descriptor, port)?.peer !== peer) continue;
      kernel.end(descriptor);
      this.#closed++;
    }
  }

  #say(): void {
    const { clock, logger, descriptors, connections } = this.#parts;
    const now = clock.monotonicMs();
    if (this.#closed + connections.refused === 0 || now - this.#saidAt < SAY_AGAIN_MS) return;
    this.#saidAt = now;
    logger.warn("connections take nearly all files that may be open", {
      filesMax: descriptors.limit,
      inUse: connections.count,
      idleClosed: this.#closed,
      socketsRefused: connections.refused,
    });
    this.#closed = connections.refused = 0;
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
