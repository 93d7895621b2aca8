/** Makes the files that pages-read.ts reads: a shard with so many segments, each of one flush, and two shards whose reading pushes its files out. */
import { loadTexts } from "../texts.ts";
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
};

export const PAGE_SHARD = 500;
export const OTHER_SHARDS = [600, 601];
export const PAGE_ENTRIES = 30;

export async function buildPages(parameters: BuildPagesParameters, context: PartContext): Promise<{ seconds: number }> {
  context.progress(0, parameters.segments);
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const options = { ...parameters, lines };
  const beganAt = performance.now();
  const store = openSegments({ dir: context.directory, segmentBytesMax: 1 });
  const jobs = new PageJobs(PAGE_SHARD, options);
  for (let at = 0; at < parameters.segments; at++) {
    await store.flush(jobs.next(at === parameters.segments >> 1 ? PAGE_ENTRIES : 0));
    context.progress(at + 1, parameters.segments);
  }
  for (const shard of OTHER_SHARDS) {
    const others = new PageJobs(shard, options);
    await store.flush(others.next(PAGE_ENTRIES));
  }
  await store.close();
  return { seconds: round4((performance.now() - beganAt) / 1000) };
}
