/**
 * Plays the lines in the order of the logs. Each client keeps the order of its sends, even over lost connections, so a
 * line need not wait for the ack of the one before. `window` limits how many are unacked in total.
 */
import type { PlannedLine } from "./plan.ts";
import type { People } from "./people.ts";

export type PlayOptions = {
  speed: "max" | "real";
  window: number;
  signal: AbortSignal;
  /** The lines that are sent and not acked. */
  inFlight: Set<PlannedLine>;
  onAcked: () => void;
  onWaiting: () => void;
};

/** @returns the id of each line. @throws the first refusal that waiting cannot change. */
export async function playLines(people: People, lines: PlannedLine[], options: PlayOptions): Promise<string[]> {
  const ids = Array.from<string>({ length: lines.length });
  const gate = new Gate(options.window, options.signal);
  const due = options.speed === "real" ? dueTimes(lines) : undefined;
  const began = performance.now();
  for (const [at, line] of lines.entries()) {
    if (due !== undefined)
      await waitUntil(began + (due[at] ?? 0), () => {
        options.signal.throwIfAborted();
        if (gate.isEmpty) options.onWaiting();
      });
    if (gate.isFull) await gate.opened();
    gate.enter();
    options.inFlight.add(line);
    people.send(line.from, line.to, line.text, line.ref).then(
      (sent) => {
        ids[at] = sent.id;
        options.inFlight.delete(line);
        options.onAcked();
        gate.leave();
      },
      (error: Error) =>
        gate.fail(
          new Error(`${line.ref} from ${line.from} to ${line.to}: ${error.message}${hintFor(error)}`, { cause: error }),
        ),
    );
  }
  await gate.emptied();
  return ids;
}

/** The server's limit may be lower than the plan's. */
const hintFor = (error: Error): string =>
  (error as { code?: unknown }).code === "too_large" ? "; give --text-bytes-max what the server has" : "";

/** Milliseconds from the start: the minutes of the log, and the lines of one minute spread evenly over it. */
export function dueTimes(lines: Pick<PlannedLine, "minute">[]): number[] {
  const inMinute = new Map<number, number>();
  for (const { minute } of lines) inMinute.set(minute, (inMinute.get(minute) ?? 0) + 1);
  const placed = new Map<number, number>();
  return lines.map(({ minute }) => {
    const place = placed.get(minute) ?? 0;
    placed.set(minute, place + 1);
    return (minute + place / (inMinute.get(minute) ?? 1)) * 60_000;
  });
}

/** Counts lines in flight and wakes the waiting caller. */
class Gate {
  private inFlight = 0;
  private failure: Error | undefined;
  private wake: (() => void) | undefined;

  constructor(
    private readonly max: number,
    signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.fail(signal.reason as Error));
  }

  get isFull(): boolean {
    return this.failure !== undefined || this.inFlight >= this.max;
  }

  get isEmpty(): boolean {
    return this.inFlight === 0;
  }

  enter(): void {
    this.inFlight++;
  }

  leave(): void {
    this.inFlight--;
    this.wake?.();
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.wake?.();
  }

  opened(): Promise<void> {
    return this.until(() => this.inFlight < this.max);
  }

  emptied(): Promise<void> {
    return this.until(() => this.inFlight === 0);
  }

  private async until(holds: () => boolean): Promise<void> {
    for (;;) {
      if (this.failure !== undefined) throw this.failure;
      if (holds()) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** Checks once a second, so that a quiet hour of the log does not look like a stopped server. */
async function waitUntil(atMs: number, onLook: () => void): Promise<void> {
  for (let ms = atMs - performance.now(); ms > 1; ms = atMs - performance.now()) {
    onLook();
    await new Promise((resolve) => setTimeout(resolve, Math.min(ms, 1000)));
  }
}
