/**
 * The storage suite: the log store beside the least that could do the same, both SQLite drivers, both codecs, and the
 * real corpus on disk. Each part runs in its own process (storage/run-part.ts). Sides alternate within a part or part
 * by part, so that disturbances by the machine hit all.
 */
import { ProgressBar, type ProgressOutput } from "../src/cli/progress-bar.ts";
import { describeCommit, describeMachine } from "./machine.ts";
import type { StorageOptions } from "./storage-options.ts";
import {
  aimsOf,
  FLUSH_VARIANTS,
  type FlushVariants,
  type PagesResult,
  type PerDriver,
  type RecoveryResult,
  type StorageResult,
} from "./storage-result.ts";
import type { CorpusFigures } from "./storage/corpus.ts";
import { round4 } from "./storage/measure.ts";
import type { PageFigures } from "./storage/pages-read.ts";
import type { RowsFigures } from "./storage/rows.ts";
import { PartRunner, type Driver } from "./storage/run-part.ts";
import { loadTexts } from "./texts.ts";

const DRIVERS: readonly Driver[] = ["better-sqlite3", "bun:sqlite"];

/** Ends everything it started and removes everything it wrote, also when `interrupted` rejects. */
export async function runStorage(
  options: StorageOptions,
  output: ProgressOutput,
  interrupted: Promise<never>,
): Promise<StorageResult> {
  const progress = new ProgressBar("starting", 1, output);
  const runner = new PartRunner(options.directory, progress);
  const measuring = measure(options, runner);
  try {
    const result = await Promise.race([measuring, interrupted]);
    progress.finish();
    return result;
  } finally {
    await runner.end();
    // After an interruption it fails because its part was ended.
    await measuring.catch(() => {});
  }
}

async function measure(options: StorageOptions, runner: PartRunner): Promise<StorageResult> {
  const began = performance.now();
  const commit = describeCommit();
  const { parameters: p, corpus, linesMax } = options;
  const texts = loadTexts(corpus, linesMax);
  const chat = { corpus, linesMax };
  const figures = {
    append: await runner.run("append", "append", { ...chat, ...p.append }),
    flush: await flushes(options, runner),
    pages: await pages(options, runner),
    recovery: await recovery(options, runner),
    corpus: await corpora(options, runner),
    codecs: await runner.run("codecs", "codecs", { ...chat, ...p.codecs }),
    rows: await eachDriver<RowsFigures>(p.rounds, (driver) => runner.run("rows", `rows, ${driver}`, p.rows, driver)),
  };
  return {
    suite: "storage",
    at: new Date().toISOString(),
    commit: sameCommit(commit, describeCommit()),
    machine: describeMachine(),
    isSmall: options.isSmall,
    texts: { source: texts.source, meanBytes: texts.meanBytes },
    parameters: p,
    aims: aimsOf(figures),
    ...figures,
    seconds: round4((performance.now() - began) / 1000),
  };
}

/**
 * Each part's process reads the checkout anew. If that changed during the run, the figures are of more than one commit.
 */
function sameCommit(atStart: string, atEnd: string): string {
  return atStart === atEnd ? atStart : `${atStart} to ${atEnd}, changed while it ran`;
}

/** Round after round, with alternating drivers first. */
async function eachDriver<T>(rounds: number, run: (driver: Driver) => Promise<T>): Promise<PerDriver<T>> {
  const all: PerDriver<T> = { "better-sqlite3": [], "bun:sqlite": [] };
  for (let round = 0; round < rounds; round++) {
    for (const driver of round % 2 === 0 ? DRIVERS : DRIVERS.toReversed()) all[driver].push(await run(driver));
  }
  return all;
}

/**
 * Round after round: each driver with the store's own packing, and the store's own driver with LZ4, and with many
 * shards.
 */
async function flushes(
  { parameters: p, corpus, linesMax }: StorageOptions,
  runner: PartRunner,
): Promise<FlushVariants> {
  const all = Object.fromEntries(FLUSH_VARIANTS.map((variant) => [variant, []])) as unknown as FlushVariants;
  for (let round = 0; round < p.rounds; round++) {
    for (const variant of round % 2 === 0 ? FLUSH_VARIANTS : FLUSH_VARIANTS.toReversed()) {
      const [driver, codec, light] = variant.split(", ") as [Driver, "zstd" | "lz4", "light" | undefined];
      const parameters = { corpus, linesMax, codec, ...p.flush, ...(light && p.lightFlush) };
      all[variant].push(await runner.run("flush", `flush, ${variant}`, parameters, driver));
    }
  }
  return all;
}

async function pages({ parameters: p, corpus, linesMax }: StorageOptions, runner: PartRunner): Promise<PagesResult[]> {
  const results: PagesResult[] = [];
  const { samples, resumePage } = p.pages;
  for (const segments of p.pages.segments) {
    await runner.within("pages", async (directory) => {
      const built = await runner.runIn(directory, "buildPages", `${segments} segments`, {
        corpus,
        linesMax,
        ...p.pages,
        segments,
      });
      const read = (lane: "spread" | "together"): Promise<PerDriver<PageFigures>> =>
        eachDriver(p.rounds, (driver) => {
          const label = `pages of ${segments} segments, ${lane}, ${driver}`;
          return runner.runIn(directory, "readPages", label, { samples, lane, resumePage }, driver);
        });
      results.push({ ...built, spread: await read("spread"), together: await read("together") });
    });
  }
  return results;
}

async function recovery(
  { parameters: p, corpus, linesMax }: StorageOptions,
  runner: PartRunner,
): Promise<RecoveryResult> {
  const { walFileBytes } = p.recovery;
  return runner.within("recovery", async (directory) => {
    const parameters = { corpus, linesMax, ...p.recovery };
    await runner.runIn(directory, "writeLog", "a log to recover, MiB", parameters);
    const result: RecoveryResult = { nothingFlushed: [], mostFlushed: [] };
    for (let round = 0; round < p.rounds; round++) {
      result.nothingFlushed.push(
        await runner.runIn(directory, "recoverOnce", "recovery", { walFileBytes, isMostFlushed: false }),
      );
      result.mostFlushed.push(
        await runner.runIn(directory, "recoverOnce", "recovery, most is in segments", {
          walFileBytes,
          isMostFlushed: true,
        }),
      );
    }
    return result;
  });
}

async function corpora({ parameters: p, corpus }: StorageOptions, runner: PartRunner): Promise<CorpusFigures[]> {
  const all: CorpusFigures[] = [];
  for (const { shards, flushes } of p.corpus.runs) {
    const parameters = { corpus, daysMax: p.corpus.daysMax, shards, flushes };
    all.push(await runner.run("corpus", `corpus, ${shards} shards, ${flushes} flushes`, parameters));
  }
  return all;
}
