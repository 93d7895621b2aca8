/**
 * Makes the files that pages-read.ts reads: a shard with a number of segments, each from one flush, and other shards.
 * Reading those closes the first one's files.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { loadTexts } from "../measure/texts.ts";
import { round4 } from "./measure.ts";
import { PageJobs } from "./page-jobs.ts";
import type { PartContext } from "./part.ts";
import { openSegments } from "./stores.ts";

export type BuildPagesParameters = {
  corpus: string | undefined;
  linesMax: number;
  segments: number;
  lanes: number;
  entriesOfResumeUser: number;
  entriesOfOthers: number;
  entriesOfNoise: number;
};

/** `flushes` is also how many entries the spread conversation has. */
export type BuiltPages = { segments: number; flushes: number; seconds: number };

export const PAGE_SHARD = 500;
/** As many as `readPages` allows to be open: each needs at least one file. */
export const OTHER_SHARDS = [600, 601, 602, 603];
export const PAGE_ENTRIES = 30;
export const TOGETHER_ENTRIES = 100;
const FLUSHES_A_SEGMENT_MAX = 5;

export async function buildPages(parameters: BuildPagesParameters, context: PartContext): Promise<BuiltPages> {
  const { segments } = parameters;
  context.progress(0, segments);
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const options = { ...parameters, lines };
  const beganAt = performance.now();
  // Everything goes into the shards' own files; a page from `recent.db` costs less.
  const store = openSegments({ dir: context.directory, segmentBytesMax: 1, recentBytesMax: 0 });
  const jobs = new PageJobs(PAGE_SHARD, options);
  let flushes = 0;
  for (let made = 0; made < segments; made = segmentFiles(context.directory)) {
    if (flushes > segments * FLUSHES_A_SEGMENT_MAX) throw new Error(`${flushes} flushes made ${made} segments`);
    await store.flush(jobs.next(flushes++ === segments >> 1 ? TOGETHER_ENTRIES : 0));
    context.progress(made, segments);
  }
  for (const shard of OTHER_SHARDS) await store.flush(new PageJobs(shard, options).next(TOGETHER_ENTRIES));
  await store.close();
  return { segments, flushes, seconds: round4((performance.now() - beganAt) / 1000) };
}

function segmentFiles(directory: string): number {
  const files = readdirSync(join(directory, "shards", String(PAGE_SHARD)));
  return files.filter((name) => /^segment-.*\.db$/.test(name)).length;
}
