/**
 * Pages of history from a shard of many segments, and the resume of a user with hundreds of conversations. The pages
 * are of one conversation, from random positions.
 *
 * - *first*: the newest page, read first by this process: no compiled code, no open file. Once per process.
 * - *cold*: other shards were read in between, so that all files of this one were closed (4 handles), and no unpacked
 *   block is cached.
 * - *warm*: the newest page again and again, with the default handles and cache.
 *
 * The system's page cache is warm in all of them.
 */
import type { SegmentStore } from "../../storage/files/segment-store.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { openDatabases, round4, spreadOf, type Spread } from "./measure.ts";
import { PAGE_USER, RESUME_USER, SPREAD_LANE, TOGETHER_LANE } from "./page-jobs.ts";
import { OTHER_SHARDS, PAGE_ENTRIES, PAGE_SHARD } from "./pages-build.ts";
import type { PartContext } from "./part.ts";
import { openSegments } from "./stores.ts";

export type ReadPagesParameters = {
  samples: number;
  lane: "spread" | "together";
  resumePage: number;
};

export type PageFigures = {
  firstMs: number;
  coldMs: Spread;
  warmMs: Spread;
  /** Database files opened for one page, the maximum of several; undefined where the system does not say. */
  opened: { segments: number; others: number } | undefined;
  /** From the first seq to the last, page by page, ms a page. */
  resume: { entries: number; coldMs: Spread; warmMs: Spread };
};

const NEWEST = Number.MAX_SAFE_INTEGER as Seq;
const SHARD = PAGE_SHARD as ShardId;
const OPENED_SAMPLES = 5;

export async function readPages(parameters: ReadPagesParameters, context: PartContext): Promise<PageFigures> {
  const { samples, resumePage } = parameters;
  const { directory } = context;
  context.progress(0, samples);
  const lane = parameters.lane === "spread" ? SPREAD_LANE : TOGETHER_LANE;
  const first = openSegments({ dir: directory });
  const firstMs = timed(() => page(first, lane, NEWEST));
  await first.close();
  const places = await placesIn(directory, lane);
  const anywhere = (): Seq => places[Math.floor(Math.random() * places.length)]!;
  const opened = await mostOpened(directory, lane, [NEWEST, ...Array.from({ length: OPENED_SAMPLES }, anywhere)]);
  const fresh = openSegments({ dir: directory });
  const resumeCold = resume(fresh, resumePage);
  const resumeWarm = resume(fresh, resumePage);
  const warm = Array.from({ length: samples }, () => timed(() => page(fresh, lane, NEWEST)));
  await fresh.close();
  const tight = openSegments({ dir: directory, readHandlesMax: OTHER_SHARDS.length, cacheBytesMax: 0 });
  const cold = Array.from({ length: samples }, (_, at) => {
    for (const shard of OTHER_SHARDS) page(tight, TOGETHER_LANE, NEWEST, shard as ShardId);
    context.progress(at + 1, samples);
    const before = anywhere();
    return timed(() => page(tight, lane, before));
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

/** Seqs with a full page of the lane before them. */
async function placesIn(directory: string, lane: string): Promise<Seq[]> {
  const store = openSegments({ dir: directory });
  const entries = store.readLaneForward(SHARD, PAGE_USER, lane, 0 as Seq, Number.MAX_SAFE_INTEGER);
  await store.close();
  return [...entries.map(({ seq }) => seq), NEWEST].slice(Math.min(entries.length, PAGE_ENTRIES));
}

/** Opens a new store for each page. */
async function mostOpened(directory: string, lane: string, places: Seq[]): Promise<PageFigures["opened"]> {
  let most: PageFigures["opened"];
  for (const before of places) {
    const store = openSegments({ dir: directory });
    page(store, lane, before);
    const opened = openDatabases(directory);
    if (opened !== undefined && opened.segments >= (most?.segments ?? 0)) most = opened;
    await store.close();
  }
  return most;
}

function timed(run: () => unknown): number {
  const from = performance.now();
  run();
  return performance.now() - from;
}

function page(store: SegmentStore, lane: string, before: Seq, shard = SHARD): void {
  const entries = store.readLaneBackward(shard, PAGE_USER, lane, before, PAGE_ENTRIES);
  const isFull = entries.length === PAGE_ENTRIES || (entries.length > 0 && before === NEWEST);
  if (!isFull || entries.some((entry) => entry.lane !== lane || entry.seq >= before))
    throw new Error(`a page of ${lane} before ${before} has ${entries.length} entries`);
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
