/**
 * Tells each WebSocket from time to time how many of its bytes have been read. The runtime does not report some of them
 * (src/home/session/untold-bytes.ts), but the kernel counts all. It runs only while the process is busy; nothing is
 * lost by asking later, because the counts are totals.
 *
 * A closed WebSocket that goes on sending too much is ended here, sooner than other closed ones (closed-sockets.ts).
 *
 * Not here: how much is too much. Linux only, as kernel-sockets.ts.
 */
import type { Clock } from "../base/clock.ts";
import type { Connections } from "./connections.ts";
import type { KernelSockets } from "./kernel-sockets.ts";

export type ReadWatchTimes = {
  everyMs: number;
  /** Share of a core. If the process has used less since the last time, no WebSocket is asked. */
  busyShare: number;
};

export type ReadWatchParts = {
  connections: Connections;
  clock: Clock;
  kernel: Pick<KernelSockets, "at" | "bytesRead" | "end">;
  /** The port on which the server listens. */
  port: number;
  openDescriptors: () => Promise<number[]>;
  /** CPU time that the process has used, ms. */
  cpuMs: () => number;
  times: Partial<ReadWatchTimes>;
};

const DEFAULT_TIMES: ReadWatchTimes = { everyMs: 250, busyShare: 0.2 };
/** The pause after a round, as a multiple of the time that the round took. */
const REST_FACTOR = 20;
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

  /** Call it before `KernelSockets.close`. */
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
    if (!this.#isStopped) this.#lookAfter(Math.max(this.#times.everyMs, REST_FACTOR * tookMs));
  }

  #isBusy(): boolean {
    const { clock, cpuMs } = this.#parts;
    const [passedMs, usedMs] = [clock.monotonicMs() - this.#atMs, cpuMs() - this.#cpuMs];
    this.#atMs += passedMs;
    this.#cpuMs += usedMs;
    return usedMs >= this.#times.busyShare * passedMs;
  }

  /** @returns time spent, without what ran in between, ms */
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

  /** The descriptor may belong to another connection by now, so its other end is compared first. */
  #tell(descriptor: number): void {
    const { kernel, port, connections } = this.#parts;
    const socket = kernel.at(descriptor, port);
    if (socket === undefined) return;
    const told = connections.socketOf(socket.peer);
    const bytes = told && kernel.bytesRead(socket);
    if (bytes !== undefined && told!.hasRead(bytes)) kernel.end(descriptor);
  }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
