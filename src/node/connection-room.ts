/**
 * Sees to it that connections leave the process the descriptors that its files need.
 *
 *     open files      0 ─────────────── limit - free ─────── limit - free/2 ───── limit
 *                        all are let in │ the longest idle   │ nobody is accepted until
 *                                       │ ones are closed    │ idle ones were closed
 *
 * When that does not help, because all are in use, newcomers are accepted to be told so: a WebSocket gets 503. Without it connections take every descriptor: no flush can open its
 * files, nobody else gets in, and the runtime tries to accept the next one without pause.
 *
 * Not here: what the log has for itself (storage/vfs/descriptor-reserve.ts), for what comes between two looks.
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
  /** Where the server listens. */
  port: number;
  /** Called at each look: whoever keeps descriptors back can fill up. */
  onLook: () => void;
};

/** When few descriptors are left it looks again at once, then less and less often. */
const LOOK_EVERY_MS = { min: 1, max: 100 };
/** After nobody was accepted for a moment, few may wait for so long, and it looks more often: those who were closed come back all at once. */
const CALM_AFTER_MS = 10_000;
const NARROW_LOOK_EVERY_MS = 10;
/** Looking rests so many times as long as it took. */
const REST = 3;
/** Somebody who has just connected gets this long to say what they want, while there is time. */
const IDLE_MS_MIN = 500;
const SAY_AGAIN_MS = 60_000;
/** Descriptors that are looked at in one turn of the event loop: about a millisecond. */
const TURN = 256;

/** Of what the system's limit leaves to connections, those that stay may have so much; requests over HTTP need some, too. */
const STAYING_SHARE = 15 / 16;

/** How many WebSockets this process has descriptors for: below that, limits that are fair to users and addresses say who gets them. */
export function socketsMax(descriptors: Descriptors, { free }: DescriptorBudget): number {
  return Math.max(1, Math.floor((descriptors.limit - free - (descriptors.inUse() ?? 0)) * STAYING_SHARE));
}

export class ConnectionRoom {
  readonly #parts: ConnectionRoomParts;
  readonly #gate: ListenerGate | undefined;
  /** Above this many open files idle connections are closed, above that many nobody is accepted. */
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

  /** Before the listening socket is closed. */
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
    if (!this.#isStopped) this.#lookAfter(Math.max(this.#everyMs, REST * (clock.monotonicMs() - startedAt)));
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
    // Those who were accepted in this turn may have sent their request already: it is read in the next.
    for (let turn = 0; turn < 2; turn++) await nextTurn();
    const idle = await this.#idle();
    const needed = open - this.#many;
    this.#parts.connections.isFull = idle.length < needed;
    // Somewhat more than is needed, so that not every newcomer makes it look through all of them.
    const count = needed + Math.ceil(this.#parts.budget.free / 4);
    this.#end(idle.slice(0, count), isTight ? 0 : IDLE_MS_MIN);
    if (this.#parts.connections.isFull) this.#gate?.open();
  }

  /** The idle ones, the longest idle first. */
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

  /** As far as they still are what they were when they were looked at. */
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
