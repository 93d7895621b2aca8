/** The progress bar of moves: MiB where there are many of them, shards otherwise. */
import type { Io } from "../io.ts";
import { ProgressBar } from "../progress-bar.ts";
import { formatCount } from "../tool-options.ts";
import type { Step, StepState } from "./plan-file.ts";

const MIB = 1 << 20;
/** With fewer bytes the number of shards says more. */
const BYTES_FROM = 32 * MIB;

export class MovesProgress {
  readonly #steps: readonly Step[];
  readonly #done: StepState;
  readonly #inBytes: boolean;
  readonly #bar: ProgressBar | undefined;

  /** @param io undefined: nothing is shown */
  constructor(steps: readonly Step[], done: StepState, word: string, io: Io | undefined) {
    this.#steps = steps;
    this.#done = done;
    const bytes = steps.reduce((sum, step) => sum + step.bytes, 0);
    this.#inBytes = bytes >= BYTES_FROM;
    if (io === undefined || steps.length === 0) return;
    const output = { isTerminal: io.isStderrTerminal === true, columns: io.columns ?? 80, write: io.stderr };
    const [unit, total] = this.#inBytes ? ["MiB", Math.ceil(bytes / MIB)] : ["shards", steps.length];
    this.#bar = new ProgressBar(`${word}, ${unit}`, total, output);
  }

  /** @param copied bytes of the moves that run */
  set(copied: number, running: number): void {
    const ended = this.#steps.filter(({ state }) => state === this.#done);
    const bytes = ended.reduce((sum, step) => sum + step.bytes, copied);
    const shards = `${formatCount(ended.length)} of ${formatCount(this.#steps.length)} shards`;
    const note = this.#inBytes ? `${shards}, ${running} moving` : `${running} moving`;
    this.#bar?.set(this.#inBytes ? Math.floor(bytes / MIB) : ended.length, note);
  }

  finish(): void {
    this.#bar?.finish();
  }
}
