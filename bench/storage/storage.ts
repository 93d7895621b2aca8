/**
 * The storage suite: the log store beside the least that could do the same, both SQLite drivers, both codecs, and the
 * real corpus on disk. Each part runs in its own process (storage/run-part.ts). Sides alternate within a part or part
 * by part, so that disturbances by the machine hit all.
 */
import type { Bench } from "../bench.ts";
import { FULL_STORAGE, SMALL_STORAGE, TINY_STORAGE, type StorageParameters } from "./storage-options.ts";
import { storageOutcome } from "./storage-outcome.ts";
import {
  FLUSH_VARIANTS,
  type FlushVariants,
  type PagesResult,
  type PerDriver,
  type RecoveryResult,
  type StorageResult,
} from "./storage-result.ts";
import type { CorpusFigures } from "./corpus.ts";
import type { PageFigures } from "./pages-read.ts";
import type { RowsFigures } from "./rows.ts";
import { PartRunner, type Driver } from "./run-part.ts";
import { loadTexts } from "../measure/texts.ts";

const DRIVERS: readonly Driver[] = ["better-sqlite3", "bun:sqlite"];

export const STORAGE: Bench<StorageParameters> = {
  name: "storage",
  summary: "the log store by itself: append beside bare write + fdatasync, flush, pages, recovery, the corpus on disk",
  sizes: { tiny: TINY_STORAGE, small: SMALL_STORAGE, full: FULL_STORAGE },
  async run(parameters, { corpus, directory, progress, endLater }) {
    const runner = await endLater(new PartRunner(directory, progress));
    return storageOutcome(await measure({ parameters, corpus, linesMax: parameters.linesMax }, runner));
  },
};

type StorageOptions = { parameters: StorageParameters; corpus: string | undefined; linesMax: number };

async function measure(options: StorageOptions, runner: PartRunner): Promise<StorageResult> {
  const { parameters: p, corpus, linesMax } = options;
  const texts = loadTexts(corpus, linesMax);
  const chat = { corpus, linesMax };
  return {
    texts: { source: texts.source, meanBytes: texts.meanBytes },
    parameters: p,
    append: await runner.run("append", "append", { ...chat, ...p.append }),
    flush: await flushes(options, runner),
    pages: await pages(options, runner),
    recovery: await recovery(options, runner),
    corpus: await corpora(options, runner),
    codecs: await runner.run("codecs", "codecs", { ...chat, ...p.codecs }),
    rows: await eachDriver<RowsFigures>(p.rounds, (driver) => runner.run("rows", `rows, ${driver}`, p.rows, driver)),
  };
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
 * Round after round: each driver with the store's own packing (LZ4 for layers, zstd for blocks, called zstd), and the
 * store's own driver with LZ4 for both, and with many shards.
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
