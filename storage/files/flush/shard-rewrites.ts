/**
 * Erasing and compacting the segments of one shard, in steps; flushes of the shard may come between them.
 *
 *   1. rewrite the segments of a file, or of several, into a new one, durable     a crash leaves a file that nobody
 *                                                                                 lists; removed at the next opening
 *   2. commit the segments' new places, and what keys go, in `state.db`           a crash leaves old files that nobody
 *                                                                                 lists; the same
 *   3. readers let go of the old files, they are removed
 *   4. erasing only, after all files: the erasures leave `state.db`, which is written anew, without a trace; then the
 *      caller takes the shard's marker away
 *
 * A crash before that leaves the marker, and erasing begins again: entries that are tombstones by then stay so.
 */
import { statSync } from "node:fs";
import type { SqlDatabase } from "../sqlite/database.ts";
import { KeyIndex } from "../placed/key-index.ts";
import { type ErasureRow, SEGMENT_ACTIVE, type SegmentRow } from "../placed/state-file.ts";
import { lanesOfStream, listErasures, listSegments, runsBetween } from "../placed/state-reader.ts";
import {
  countErasures,
  deleteErasure,
  readShardRow,
  type Unsigned,
  writeSegmentRow,
  writeShardRow,
} from "../placed/state-writer.ts";
import type { ShardId } from "../../types.ts";
import type { BlockPart } from "../placed/block.ts";
import { masked } from "../placed/erasure.ts";
import { segmentPath } from "../sqlite/paths.ts";
import { type RewriteJob, rewriteSegments } from "./rewrite.ts";
import type { ShardFiles } from "./shard-files.ts";
import type { CompactReport } from "../segment-store.ts";

export type RewriteContext = {
  dir: string;
  shard: ShardId;
  files: ShardFiles;
  segmentBytesMax: number;
};

/**
 * `progress`: bytes read since the last, of `total`. `release`: readers must let go of these files before the next
 * step.
 */
export type RewriteStep = { kind: "progress"; bytes: number; total: number } | { kind: "release"; files: number[] };
export type RewriteSteps<Result> = Generator<RewriteStep, Result>;

type ErasedKey = { streamNo: number; key: string; seq: number };

/** Free pages of `state.db`, as a part of it, from which on it is worth writing anew. */
const FREE_PART = 0.125;

export function* eraseSteps(context: RewriteContext): RewriteSteps<void> {
  const state = context.files.openState();
  for (let pending = listErasures(state); pending.length > 0; pending = listErasures(state)) {
    const affected = affectedBlocks(state, pending);
    leaveActiveIf(context, state, (row) => affected.has(row.segment));
    const files = filesOf(listSegments(state), (row) => affected.has(row.segment));
    const total = bytesOf(context, files);
    for (const sources of files) {
      const erased: ErasedKey[] = [];
      const edit = eraser(pending, affected, erased);
      yield* replace(context, { sources, edit, level: undefined }, erased, total);
    }
    state.within("BEGIN IMMEDIATE", () => {
      for (const { id } of pending) deleteErasure(state, id);
      writeShardRow(state, { ...readShardRow(state, context.shard), erasures: countErasures(state) });
    });
  }
  // Deleted rows are not in the file any more then, neither in its free pages nor in its write-ahead file.
  state.exec("VACUUM");
  context.files.emptyWal();
}

export function* compactSteps(context: RewriteContext, level: number): RewriteSteps<CompactReport> {
  const state = context.files.openState();
  leaveActiveIf(context, state, (row) => row.blocks > 0);
  const before = filesOf(listSegments(state), isLeft);
  const bytesBefore = bytesOf(context, before);
  const groups = compactable(context, before);
  const total = groups.reduce((sum, group) => sum + bytesOf(context, group), 0);
  for (const group of groups)
    yield* replace(context, { sources: group.flat(), edit: () => undefined, level }, [], total);
  if ((state.pragma("freelist_count") as number) > FREE_PART * (state.pragma("page_count") as number))
    state.exec("VACUUM");
  const after = filesOf(listSegments(state), isLeft);
  return { filesBefore: before.length, filesAfter: after.length, bytesBefore, bytesAfter: bytesOf(context, after) };
}

type Replacement = Pick<RewriteJob, "sources" | "edit" | "level">;

/** Steps 1 to 3. */
function* replace(
  context: RewriteContext,
  job: Replacement,
  erased: readonly ErasedKey[],
  total: number,
): RewriteSteps<void> {
  const { dir, shard, files } = context;
  const state = files.openState();
  const file = files.nextFile();
  const steps = rewriteSegments({ dir, shard, file, ...job });
  let rows: Unsigned<SegmentRow>[];
  try {
    for (;;) {
      const step = steps.next();
      if (step.done === true) {
        rows = step.value;
        break;
      }
      yield { kind: "progress", bytes: step.value, total };
    }
  } finally {
    steps.return([]);
  }
  state.within("BEGIN IMMEDIATE", () => {
    for (const row of rows) writeSegmentRow(state, row);
    const keys = new KeyIndex(state);
    for (const { streamNo, key, seq } of erased) keys.remove(streamNo, key, seq);
    keys.finish();
    writeShardRow(state, { ...readShardRow(state, shard), files: files.lastFile });
  });
  const old = [...new Set(job.sources.map((row) => row.file))];
  yield { kind: "release", files: old };
  for (const no of old) files.removeFile(no);
}

/** Blocks with entries that are to be erased, by segment. */
function affectedBlocks(state: SqlDatabase, pending: readonly ErasureRow[]): Map<number, Set<number>> {
  const affected = new Map<number, Set<number>>();
  for (const { stream_no, lane, from_seq, to_seq } of pending) {
    const lanes = lane === 0 ? lanesOfStream(state, stream_no).map((row) => row.lane) : [lane];
    for (const run of lanes.flatMap((no) => runsBetween(state, no, from_seq, to_seq))) {
      let blocks = affected.get(run.segment);
      if (blocks === undefined) affected.set(run.segment, (blocks = new Set()));
      blocks.add(run.block);
    }
  }
  return affected;
}

function eraser(
  pending: readonly ErasureRow[],
  affected: Map<number, Set<number>>,
  erased: ErasedKey[],
): RewriteJob["edit"] {
  const edit = (parts: BlockPart[]): BlockPart[] =>
    parts.map(({ lane, streamNo, run }) => {
      const ranges = pending.filter((range) => range.stream_no === streamNo);
      const items = masked(run.items, lane, ranges, ({ key, seq }) => {
        if (key !== "") erased.push({ streamNo, key, seq });
      });
      return { lane, streamNo, run: { lane: run.lane, items } };
    });
  return (segment, block) => (affected.get(segment)?.has(block) === true ? edit : undefined);
}

/** Flushes may still append to it otherwise. */
function leaveActiveIf(context: RewriteContext, state: SqlDatabase, isWanted: (row: SegmentRow) => boolean): void {
  const active = listSegments(state).find((row) => row.status === SEGMENT_ACTIVE);
  if (active === undefined || !isWanted(active)) return;
  state.within("BEGIN IMMEDIATE", () => context.files.leaveActive());
}

function isLeft(row: SegmentRow): boolean {
  return row.status !== SEGMENT_ACTIVE;
}

/** Segments by file, in the order they have there; only files with a segment that is wanted, but those whole. */
function filesOf(rows: readonly SegmentRow[], isWanted: (row: SegmentRow) => boolean): SegmentRow[][] {
  const wanted = new Set(rows.filter(isWanted).map((row) => row.file));
  const byFile = Map.groupBy(
    rows.filter((row) => wanted.has(row.file)),
    (row) => row.file,
  );
  return [...byFile.values()].map((sources) => sources.sort((a, b) => a.base - b.base));
}

function bytesOf({ dir, shard }: RewriteContext, files: readonly SegmentRow[][]): number {
  return files.reduce((sum, [row]) => sum + statSync(segmentPath(dir, shard, row!.file)).size, 0);
}

/** Neighbouring files that make one of at most the size of a segment, or that were never packed. */
function compactable(context: RewriteContext, files: readonly SegmentRow[][]): SegmentRow[][][] {
  const groups: SegmentRow[][][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const file of files) {
    const more = bytesOf(context, [file]);
    if (bytes + more > context.segmentBytesMax) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)!.push(file);
    bytes += more;
  }
  return groups.filter((group) => group.length > 1 || group[0]!.some((row) => row.packing === 0));
}
