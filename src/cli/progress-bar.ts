/** Progress on stderr: a bar that redraws on a terminal, a plain line every few seconds elsewhere. */

export type ProgressOutput = { isTerminal: boolean; columns: number; write(text: string): void };

export const stderrOutput = (): ProgressOutput => ({
  isTerminal: process.stderr.isTTY,
  columns: process.stderr.columns ?? 80,
  write: (text) => void process.stderr.write(text),
});

const REDRAW_MS = 100;
const PLAIN_LINE_MS = 5000;
const BAR_CELLS_MAX = 30;
const BAR_CELLS_MIN = 5;
/** Columns for everything beside name and bar: brackets, gaps, and facts of usual length. */
const FACTS_CELLS = 50;

export class ProgressBar {
  private readonly nowMs: () => number;
  private readonly nameCells: number;
  private startedAt: number;
  private drawnAt = Number.NEGATIVE_INFINITY;
  private done = 0;
  private note = "";

  /** @param layout phase names are padded to `nameCells`, so that the bars line up */
  constructor(
    private name: string,
    private total: number,
    private readonly output: ProgressOutput,
    layout: { nowMs?: () => number; nameCells?: number } = {},
  ) {
    this.nowMs = layout.nowMs ?? (() => performance.now());
    this.nameCells = layout.nameCells ?? 0;
    this.startedAt = this.nowMs();
    this.drawnAt = this.neverDrawn;
  }

  /** Ends the running phase with a line of its own, and begins the next. */
  phase(name: string, total: number): void {
    this.finish();
    this.name = name;
    this.total = total;
    this.done = 0;
    this.note = "";
    this.startedAt = this.nowMs();
    this.drawnAt = this.neverDrawn;
  }

  /** A line for the person who watches, above the bar. */
  say(line: string): void {
    if (!this.output.isTerminal) return this.output.write(`${line}\n`);
    this.output.write(`\r\x1b[K${line}\n`);
    if (this.drawnAt !== Number.POSITIVE_INFINITY) this.draw(false);
  }

  advance(by = 1): void {
    this.set(this.done + by);
  }

  set(done: number, note = this.note): void {
    this.done = done;
    this.note = note;
    // `finish` prints the last state.
    if (!this.output.isTerminal && done >= this.total) return;
    const now = this.nowMs();
    if (now - this.drawnAt < (this.output.isTerminal ? REDRAW_MS : PLAIN_LINE_MS)) return;
    this.drawnAt = now;
    this.draw(false);
  }

  /** Prints the last state of this phase, which stays on the screen. */
  finish(): void {
    if (this.drawnAt !== Number.POSITIVE_INFINITY) this.draw(true);
    this.drawnAt = Number.POSITIVE_INFINITY;
  }

  /** Plain lines are printed only in a phase that lasts. */
  private get neverDrawn(): number {
    return this.output.isTerminal ? Number.NEGATIVE_INFINITY : this.startedAt;
  }

  /** Ends without finishing; the next output begins on a new line. */
  leave(): void {
    if (this.output.isTerminal && this.drawnAt !== Number.POSITIVE_INFINITY) this.output.write("\n");
    this.drawnAt = Number.POSITIVE_INFINITY;
  }

  private draw(isLast: boolean): void {
    const line = formatProgress(
      {
        name: this.name.padEnd(this.nameCells),
        done: this.done,
        total: this.total,
        seconds: (this.nowMs() - this.startedAt) / 1000,
        note: this.note,
      },
      this.output.isTerminal ? this.output.columns : 0,
    );
    if (!this.output.isTerminal) this.output.write(`${line}\n`);
    else this.output.write(`\r\x1b[K${line}${isLast ? "\n" : ""}`);
  }
}

export type Progress = { name: string; done: number; total: number; seconds: number; note: string };

/**
 * `messages  [#####.....]   50%  1234/2468  4321/s  0:12 left`. Without columns there is no bar. Bars of equally long
 * names are equally long, whatever the facts.
 */
export function formatProgress(progress: Progress, columns: number): string {
  const { name, done, total, seconds, note } = progress;
  const share = total > 0 ? Math.min(1, done / total) : 1;
  // In the first moments a rate means nothing.
  const rate = seconds > 0.05 ? done / seconds : 0;
  const facts = [`${Math.floor(share * 100)}%`.padStart(4), `${done}/${total}`];
  if (rate > 0) facts.push(`${rate >= 100 ? Math.round(rate) : rate.toFixed(1)}/s`);
  if (done >= total) facts.push(`in ${formatSeconds(seconds)}`);
  else if (rate > 0) facts.push(`${formatSeconds((total - done) / rate)} left`);
  const line = `${name}  ${barOf(share, columns - name.length - FACTS_CELLS)}${facts.join("  ")}`;
  const room = columns > 0 ? columns - 1 : Number.POSITIVE_INFINITY;
  // A note is shown whole or not at all.
  const noted = note === "" ? line : `${line}  ${note}`;
  return noted.length <= room ? noted : line.slice(0, room);
}

function barOf(share: number, room: number): string {
  const cells = Math.min(BAR_CELLS_MAX, room);
  if (cells < BAR_CELLS_MIN) return "";
  const filled = Math.round(share * cells);
  return `[${"#".repeat(filled)}${".".repeat(cells - filled)}]  `;
}

export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
