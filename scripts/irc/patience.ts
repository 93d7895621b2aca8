/** Gives up an import when nothing has moved for too long, and aborts everything that still runs. */
export class Patience {
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private readonly timer: ReturnType<typeof setInterval>;
  private lastMs: number;

  constructor(
    private readonly giveUpAfterMs: number,
    private readonly nowMs: () => number = () => performance.now(),
  ) {
    this.signal = this.controller.signal;
    this.lastMs = nowMs();
    this.timer = setInterval(() => this.look(), Math.min(1000, giveUpAfterMs / 4));
  }

  /** Call it when something moved. */
  touch(): void {
    this.lastMs = this.nowMs();
  }

  get idleMs(): number {
    return this.nowMs() - this.lastMs;
  }

  /** Rejects when `work` does, or when it gives up first. */
  async guard<T>(work: Promise<T>): Promise<T> {
    const ended = new Promise<never>((_, reject) =>
      this.signal.addEventListener("abort", () => reject(this.signal.reason as Error)),
    );
    return Promise.race([work, ended]);
  }

  end(): void {
    clearInterval(this.timer);
    this.controller.abort(new Error("the import has ended"));
  }

  /** Gives up if it is time. A timer calls it, too. */
  look(): void {
    if (this.idleMs < this.giveUpAfterMs) return;
    clearInterval(this.timer);
    const seconds = Math.round(this.giveUpAfterMs / 1000);
    this.controller.abort(
      new Error(
        `given up: nothing moved for ${seconds} s (--give-up-after); is the server running? Start again to go on from here`,
      ),
    );
  }
}
