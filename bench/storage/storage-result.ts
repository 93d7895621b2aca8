/** Result of the storage suite: the figures of every part and round, and the aims beside the measured values. */
import { median } from "../measure/ranges.ts";
import type { Aim } from "../bench.ts";
import type { StorageParameters } from "./storage-options.ts";
import type { AppendBatch, AppendSide } from "./append.ts";
import type { CodecBlocks } from "./codecs.ts";
import type { CorpusFigures } from "./corpus.ts";
import type { FlushFigures, FlushRound } from "./flush.ts";
import type { PageFigures } from "./pages-read.ts";
import type { RecoverFigures } from "./recovery-open.ts";
import type { RowsFigures } from "./rows.ts";
import type { Driver } from "./run-part.ts";

export type PerDriver<T> = Record<Driver, T[]>;
export type PagesResult = {
  segments: number;
  flushes: number;
  spread: PerDriver<PageFigures>;
  together: PerDriver<PageFigures>;
};
export type FlushVariant =
  | "better-sqlite3, zstd"
  | "bun:sqlite, zstd"
  | "better-sqlite3, lz4"
  /** A little in each of many shards: `lightFlush` of the parameters. */
  | "better-sqlite3, zstd, light";
export type FlushVariants = Record<FlushVariant, FlushFigures[]>;
export type RecoveryResult = { nothingFlushed: RecoverFigures[]; mostFlushed: RecoverFigures[] };

export type StorageFigures = {
  append: AppendBatch[];
  flush: FlushVariants;
  pages: PagesResult[];
  recovery: RecoveryResult;
  corpus: CorpusFigures[];
  codecs: CodecBlocks[];
  rows: PerDriver<RowsFigures>;
};

export type StorageResult = StorageFigures & {
  texts: { source: "corpus" | "made-up"; meanBytes: number };
  parameters: StorageParameters;
};

const AIM_BATCH_BYTES = 64 << 10;
const STORE: Driver = "better-sqlite3";

/** Median over rounds of one figure, NaN when none has it. */
export function medianOf<T>(rounds: T[], figure: (round: T) => number | undefined): number {
  return median(rounds.map(figure).filter((value) => value !== undefined));
}

/** Parley's time for a record over that of `side`, in neighbouring rounds. */
export function appendRatio({ rounds }: AppendBatch, side: AppendSide): number {
  return medianOf(rounds, (round) => round[side].recordsPerSecond / round.parley.recordsPerSecond);
}

export const FLUSH_VARIANTS: readonly FlushVariant[] = [
  "better-sqlite3, zstd",
  "bun:sqlite, zstd",
  "better-sqlite3, lz4",
  "better-sqlite3, zstd, light",
];

/** Only later rounds, if there are several: the first makes the files. */
export const flushRounds = (runs: FlushFigures[]): FlushRound[] =>
  runs.flatMap(({ rounds }) => (rounds.length > 1 ? rounds.slice(1) : rounds));

export function aimsOf({ append, flush, pages, recovery, corpus }: StorageFigures): Aim[] {
  const aims: Aim[] = [];
  const note = (what: string, atMost: number, measured: number, unit: string): void => {
    aims.push({ what, atMost, measured, unit });
  };
  const batch = append.find(({ batchBytes }) => batchBytes === AIM_BATCH_BYTES);
  if (batch !== undefined)
    note("append at 64 KB, time over write + fdatasync", 1.3, appendRatio(batch, "fdatasync"), "times");
  const gaps = flushRounds(flush[`${STORE}, zstd`]).map(({ longestGapMs }) => longestGapMs);
  note("longest gap of the event loop while flushing", 10, Math.max(...gaps), "ms");
  const most = pages.at(-1);
  if (most !== undefined) {
    const { segments, spread } = most;
    note(
      `cold page, ${segments} segments, spread conversation, p50`,
      0.5,
      medianOf(spread[STORE], (run) => run.coldMs.p50),
      "ms",
    );
    note(
      `the same, p99`,
      1,
      medianOf(spread[STORE], (run) => run.coldMs.p99),
      "ms",
    );
    note(
      `segments opened by such a page, at most`,
      2,
      Math.max(...spread[STORE].map((run) => run.opened?.segments ?? Number.NaN)),
      "files",
    );
  }
  note("a GiB of log read back, nothing flushed", 2, secondsPerGib(recovery), "s");
  // A server has the greatest number; runs with fewer shards show the size of a shard that has more.
  const shardsMax = Math.max(...corpus.map(({ shards }) => shards));
  for (const run of corpus.filter(({ shards }) => shards === shardsMax)) {
    note(`${describeCorpus(run)}, stored over raw`, 0.9, run.ratioToRaw, "times");
    note(`${describeCorpus(run)}, compacted, over raw`, 0.9, run.compacted.ratioToRaw, "times");
  }
  return aims;
}

/** From a log of another size by proportion. */
function secondsPerGib({ nothingFlushed }: RecoveryResult): number {
  return medianOf(nothingFlushed, ({ seconds, logBytes }) => (seconds * 2 ** 30) / logBytes);
}

export const describeCorpus = ({ texts, shards, flushes }: CorpusFigures): string =>
  `${texts === "corpus" ? "corpus" : "made-up chat"}, ${shards} ${shards === 1 ? "shard" : "shards"}, ${flushes === 1 ? "one flush" : `${flushes} flushes`}`;
