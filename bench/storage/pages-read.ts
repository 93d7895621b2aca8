/**
 * Pages of history from a shard of many segments, and the resume of a user with hundreds of conversations.
 *
 * - *first*: the first page this process reads: nothing compiled, no file open. Once per process.
 * - *cold*: other shards were read in between, so that all files of this one were closed (4 handles); no unpacked block is kept.
 * - *warm*: the same page again with the default handles and cache.
 *
 * The system's page cache is warm in all of them.
 */
import type { SegmentStore } from "../../storage/segment/types.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { openDatabases, round4, spreadOf, type Spread } from "./measure.ts";
import { PAGE_USER, RESUME_USER, SPREAD_LANE, TOGETHER_LANE } from "./page-jobs.ts";
import { OTHER_SHARDS, PAGE_ENTRIES, PAGE_SHARD } from "./pages-build.ts";
import type { PartContext } from "./part.ts";
import { openSegments } from "./stores.ts";

export type ReadPagesParameters = {
  samples: number;
  lane: "spread" | "together";
  /** So many entries must be on the page. */
  expected: number;
  resumePage: number;
};

export type PageFigures = {
  firstMs: number;
  coldMs: Spread;
  warmMs: Spread;
  /** Database files opened for one page; undefined where the system does not say. */
  opened: { segments: number; others: number } | undefined;
  /** From the first seq to the last, page by page, ms a page. */
  resume: { entries: number; coldMs: Spread; warmMs: Spread };
};

const NEWEST = Number.MAX_SAFE_INTEGER as Seq;
const SHARD = PAGE_SHARD as ShardId;

export async function readPages(parameters: ReadPagesParameters, context: PartContext): Promise<PageFigures> {
  context.progress(0, parameters.samples);
  const { directory } = context;
  const { expected } = parameters;
  const lane = parameters.lane === "spread" ? SPREAD_LANE : TOGETHER_LANE;
  const fresh = openSegments({ dir: directory });
  const firstMs = timed(() => page(fresh, lane, expected));
  const opened = openDatabases(directory);
  const resumeCold = resume(fresh, parameters.resumePage);
  const resumeWarm = resume(fresh, parameters.resumePage);
  const warm = Array.from({ length: parameters.samples }, () => timed(() => page(fresh, lane, expected)));
  await fresh.close();
  const tight = openSegments({ dir: directory, readHandlesMax: 4, cacheBytesMax: 0 });
  const cold = Array.from({ length: parameters.samples }, (_, at) => {
    for (const shard of OTHER_SHARDS) tight.readLaneBackward(shard as ShardId, PAGE_USER, TOGETHER_LANE, NEWEST, 1);
    context.progress(at + 1, parameters.samples);
    return timed(() => page(tight, lane, expected));
  });
  await tight.close();
  return {
    firstMs: round4(firstMs),
    coldMs: spreadOf(cold),
    warmMs: spreadOf(warm),
    opened,
    resume: { entries: resumeCold.entries, coldMs: spreadOf(resumeCold.ms), warmMs: spreadOf(resumeWarm.ms) },
  };
}

function timed(run: () => unknown): number {
  const from = performance.now();
  run();
  return performance.now() - from;
}

function page(store: SegmentStore, lane: string, expected: number): void {
  const entries = store.readLaneBackward(SHARD, PAGE_USER, lane, NEWEST, PAGE_ENTRIES);
  if (entries.length === expected && entries.every((entry) => entry.lane === lane)) return;
  throw new Error(`a page of ${lane} has ${entries.length} entries instead of ${expected}`);
}

function resume(store: SegmentStore, pageEntries: number): { entries: number; ms: number[] } {
  const ms: number[] = [];
  let after = 0 as Seq;
  for (;;) {
    const from = performance.now();
    const entries = store.readForward(SHARD, RESUME_USER, after, pageEntries);
    ms.push(performance.now() - from);
    for (const entry of entries) {
      if (entry.seq !== after + 1) throw new Error(`resume: seq ${entry.seq} after ${after}`);
      after = entry.seq;
    }
    if (entries.length < pageEntries) return { entries: after, ms };
  }
}
