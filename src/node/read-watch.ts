/**
 * Tells each WebSocket now and then how many bytes of it have been read: the runtime tells nobody of some (src/home/session/untold-bytes.ts), and the kernel
 * counts all. Only while the process is busy, since nothing is lost by asking later: counts go on.
 *
 * A WebSocket that was closed and goes on sending without measure is ended here, sooner than the others that are closed (closed-sockets.ts).
 *
 * Not here: what is too much. Linux only, as kernel-sockets.ts.
 */
import type { Clock } from "../base/clock.ts";
import type { Connections } from "./connections.ts";
import type { KernelSockets } from "./kernel-sockets.ts";

export type ReadWatchTimes = {
  everyMs: number;
  /** Of a core: when the process has used less since the last time, nobody is asked. */
  busyShare: number;
};

export type ReadWatchParts = {
  connections: Connections;
  clock: Clock;
  kernel: Pick<KernelSockets, "at" | "bytesRead" | "end">;
  /** Where the server listens. */
  port: number;
  openDescriptors: () => Promise<number[]>;
  /** What the process has used of a core. */
  cpuMs: () => number;
  times: Partial<ReadWatchTimes>;
};

const DEFAULT_TIMES: ReadWatchTimes = { everyMs: 250, busyShare: 0.2 };
/** Asking rests so many times as long as it took. */
const REST = 20;
/** Descriptors that are looked at in one turn of the event loop: about a millisecond. */
const TURN = 256;

export class ReadWatch {
  readonly #parts: ReadWatchParts;
  readonly #times: ReadWatchTimes;
  #atMs: number;
  #cpuMs: number;
  #looking: Promise<void> = Promise.resolve();
  #cancelLook: (() => void) | undefined;
  #isStopped = false;

  constructor(parts: ReadWatchParts) {
    this.#parts = parts;
    this.#times = { ...DEFAULT_TIMES, ...parts.times };
    this.#atMs = parts.clock.monotonicMs();
    this.#cpuMs = parts.cpuMs();
    this.#lookAfter(this.#times.everyMs);
  }

  /** Before the kernel's calls are let go of. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelLook?.();
    await this.#looking;
  }

  #lookAfter(ms: number): void {
    this.#cancelLook = this.#parts.clock.after(ms, () => void (this.#looking = this.#look()));
  }

  async #look(): Promise<void> {
    const tookMs = this.#isBusy() && this.#parts.connections.hasSockets ? await this.#tellAll() : 0;
    if (!this.#isStopped) this.#lookAfter(Math.max(this.#times.everyMs, REST * tookMs));
  }

  #isBusy(): boolean {
    const { clock, cpuMs } = this.#parts;
    const [passedMs, usedMs] = [clock.monotonicMs() - this.#atMs, cpuMs() - this.#cpuMs];
    this.#atMs += passedMs;
    this.#cpuMs += usedMs;
    return usedMs >= this.#times.busyShare * passedMs;
  }

  /** @returns how long it took, without what came in between, milliseconds */
  async #tellAll(): Promise<number> {
    const { clock, openDescriptors } = this.#parts;
    const descriptors = await openDescriptors();
    let tookMs = 0;
    for (let from = 0; from < descriptors.length && !this.#isStopped; from += TURN) {
      if (from > 0) await nextTurn();
      const startedAt = clock.monotonicMs();
      for (const descriptor of descriptors.slice(from, from + TURN)) this.#tell(descriptor);
      tookMs += clock.monotonicMs() - startedAt;
    }
    return tookMs;
  }

  /** What the number stands for may have changed since it was listed: it is asked for its other end. */
  #tell(descriptor: number): void {
    const { kernel, port, connections } = this.#parts;
    const socket = kernel.at(descriptor, port);
    const told = socket && connections.socketOf(socket.peer);
    if (told === undefined) return;
    const bytes = kernel.bytesRead(descriptor);
    if (bytes !== undefined && told.hasRead(bytes)) kernel.end(descriptor);
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
