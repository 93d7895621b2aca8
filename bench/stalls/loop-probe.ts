/**
 * How long an event loop is blocked: a timer that is due every millisecond records how long it did not run, in wall
 * time and in CPU time of the loop's thread. Other programs make the first longer, and the second hardly.
 */
export type Gap = { wallMs: number; cpuMs: number };

const EVERY_MS = 1;

export class LoopProbe {
  #longest: Gap = { wallMs: 0, cpuMs: 0 };
  #lastWall = 0;
  #lastCpu = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  begin(): void {
    this.#longest = { wallMs: 0, cpuMs: 0 };
    this.#lastWall = performance.now();
    this.#lastCpu = threadCpuMs();
    this.#timer ??= setInterval(() => this.#look(), EVERY_MS);
  }

  /** The longest gaps since `begin`; not necessarily one gap in both. */
  end(): Gap {
    this.#look();
    clearInterval(this.#timer);
    this.#timer = undefined;
    return this.#longest;
  }

  #look(): void {
    const wall = performance.now();
    const cpu = threadCpuMs();
    const { wallMs, cpuMs } = this.#longest;
    this.#longest = { wallMs: Math.max(wallMs, wall - this.#lastWall), cpuMs: Math.max(cpuMs, cpu - this.#lastCpu) };
    this.#lastWall = wall;
    this.#lastCpu = cpu;
  }
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
