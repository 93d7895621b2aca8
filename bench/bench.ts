/**
 * What a bench is, and what it hands back. A bench measures; text, JSON and page are made of its outcome in one place
 * (run-bench.ts, report/).
 */
import type { ProgressBar } from "../src/cli/progress-bar.ts";
import type { Range } from "./measure/ranges.ts";

/** `tiny` only shows that it runs. `small` is the default: minutes for all benches together. */
export type Size = "tiny" | "small" | "full";

export type Bench<Parameters extends object = object> = {
  name: string;
  /** One line for the list. */
  summary: string;
  sizes: Record<Size, Parameters>;
  run(parameters: Parameters, context: BenchContext): Promise<Outcome>;
};

export type BenchContext = {
  size: Size;
  /** Folder of real conversations, else texts are made up. */
  corpus: string | undefined;
  /** Folder to write under, for the benches that measure a file system. */
  directory: string;
  /** More options of `parley serve`, from the command line. */
  serveArguments: string[];
  /** A checkout with its packages, whose server is measured in the place of the floor. */
  beside: string | undefined;
  progress: ProgressBar;
  /** What was started ends with the bench, also when it fails or is interrupted. The last one ends first. */
  endLater<T extends { end(): Promise<void> }>(starting: Promise<T> | T): Promise<T>;
  interrupted: Promise<never>;
};

export type Outcome = {
  /** The result in a sentence or two. */
  finding: string;
  /** What each side has on disk when it says `sent`. */
  durable: string;
  /** What limits the figures, such as the load's own ceiling. */
  notes: string[];
  aims: Aim[];
  tables: Table[];
  charts: Chart[];
  /** For JSON, beside what every bench has. */
  figures: object;
};

export type Aim = { what: string; atMost?: number; atLeast?: number; measured: number; unit: string };

/** A heading, column names and rows of cells, with numbers formatted for reading. */
export type Table = { title: string; columns: string[]; rows: string[][] };

/** Lines when `x` is an axis, bars when it is a list of names. A point's range is drawn around its median. */
export type Chart = {
  title: string;
  /** How to read it, and which direction is good. */
  how: string;
  x: Axis | { label: string; names: string[] };
  y: Axis;
  series: Series[];
  aim?: { at: number; label: string };
};

export type Axis = { label: string; isLog?: boolean };
/** With bars, the `x` of a point is the index of its name. */
export type Series = { name: string; points: { x: number; y: Range }[] };

/** Undefined when nothing was measured. */
export function isMet({ atMost, atLeast, measured }: Aim): boolean | undefined {
  if (!Number.isFinite(measured)) return undefined;
  return measured <= (atMost ?? Number.POSITIVE_INFINITY) && measured >= (atLeast ?? Number.NEGATIVE_INFINITY);
}
