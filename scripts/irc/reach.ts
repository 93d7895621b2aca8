const PATIENCE_MS = 2000;

/** Reports once when no call has reached the server for a while, until one does. */
export class Reach {
  private failingSinceMs: number | undefined;
  private isTold = false;

  constructor(
    private readonly tell: () => void,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  answered(): void {
    this.failingSinceMs = undefined;
    this.isTold = false;
  }

  failed(): void {
    this.failingSinceMs ??= this.nowMs();
    if (this.isTold || this.nowMs() - this.failingSinceMs < PATIENCE_MS) return;
    this.isTold = true;
    this.tell();
  }
}
