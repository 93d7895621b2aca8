/**
 * Writing segments anew, into one other file: to erase what is in them, to pack them tighter, or both. Block for block:
 * a run stays in the block of its segment that the directory knows, only file and base of the segment change. So
 * nothing but the segments' own rows is to be committed afterwards.
 *
 * Goes in steps of about a megabyte, between which the worker does other things. The new file counts for nothing until
 * the caller has committed it; an error, or the end of the steps before their time, leaves a file that is removed here
 * or, after a crash, when the shard is next opened for writing.
 */
import { closeSync, fsyncSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { SqlDatabase } from "../sqlite/database.ts";
import { SEGMENT_SEALED, type SegmentRow } from "../placed/state-file.ts";
import type { Unsigned } from "../placed/state-writer.ts";
import type { ShardId } from "../../types.ts";
import { type BlockPart, BlockWriter, readBlockParts } from "../placed/block.ts";
import { CODEC_ZSTD, pack, unpack } from "../../encoding/packing.ts";
import {
  createDatabaseFile,
  emptyDatabase,
  mustBeInPlace,
  openDatabaseFile,
  syncDirectory,
} from "../sqlite/database-file.ts";
import { segmentPath } from "../sqlite/paths.ts";
import { insertBlock, readStoredBlock, SEGMENT_FORMAT, type StoredBlock } from "../placed/segment-file.ts";

export type RewriteJob = {
  dir: string;
  shard: ShardId;
  /** In the order they get in the new file. */
  sources: Unsigned<SegmentRow>[];
  /** Number of the new file; nobody has used it. */
  file: number;
  /** The parts of a block as they are to be, undefined for as they are. Asked for every block. */
  edit: (segment: number, block: number) => ((parts: BlockPart[]) => BlockPart[]) | undefined;
  /** zstd level for all blocks; without it those that are not edited are copied as they are packed. */
  level: number | undefined;
};

const STEP_BYTES = 1 << 20;
/**
 * zstd level for blocks that are edited where all others are copied. They may be in a segment that was compacted, which
 * is not packed again.
 */
const EDITED_LEVEL = 3;

/**
 * Yields the bytes of blocks that were read since the last step. Returns the rows to commit; the file is durable then.
 */
export function* rewriteSegments(job: RewriteJob): Generator<number, Unsigned<SegmentRow>[]> {
  const path = segmentPath(job.dir, job.shard, job.file);
  createDatabaseFile(path, emptyDatabase(SEGMENT_FORMAT, "rollback"));
  let isDone = false;
  try {
    const bases = yield* copyBlocks(job, path);
    syncFile(path);
    isDone = true;
    return job.sources.map((row, i) => {
      return { ...row, file: job.file, base: bases[i]!, status: SEGMENT_SEALED, packing: job.level ?? row.packing };
    });
  } finally {
    if (!isDone) rmSync(path, { force: true });
  }
}

/** Returns the base of each source in the new file. */
function* copyBlocks(job: RewriteJob, path: string): Generator<number, number[]> {
  const out = new SqlDatabase(path, "readwrite");
  const writer = new BlockWriter();
  const bases: number[] = [];
  try {
    // Nobody reads it before it is whole, and a crash throws it away: neither journal nor syncs on the way.
    out.pragma("journal_mode = OFF");
    out.pragma("synchronous = OFF");
    // A file of this number may be there as well.
    mustBeInPlace(out);
    let row = 0;
    for (const source of job.sources) {
      bases.push(row);
      for (let block = 0; block < source.blocks;) {
        const step = copyStep(job, source, block, { db: out, writer, row });
        row += step.blocks;
        block += step.blocks;
        yield step.bytes;
      }
    }
    return bases;
  } finally {
    out.close();
  }
}

type Output = { db: SqlDatabase; writer: BlockWriter; row: number };

/**
 * Blocks after `from`, in one transaction. The source is open for this long only, so that it can be sealed meanwhile.
 */
function copyStep(
  job: RewriteJob,
  source: Unsigned<SegmentRow>,
  from: number,
  out: Output,
): { blocks: number; bytes: number } {
  const { dir, shard } = job;
  const isSealed = source.status === SEGMENT_SEALED;
  const db = openDatabaseFile(
    segmentPath(dir, shard, source.file),
    SEGMENT_FORMAT,
    isSealed ? "readonly" : "readwrite",
  );
  let bytes = 0;
  let blocks = 0;
  try {
    out.db.within("BEGIN", () => {
      while (bytes < STEP_BYTES && from + blocks < source.blocks) {
        blocks++;
        const block = from + blocks;
        const stored = readStoredBlock(db, { shard, file: source.file, block: source.base + block });
        bytes += stored.data.length;
        const made = rewritten(job, stored, out.writer, job.edit(source.segment, block));
        insertBlock(out.db, { shard, file: job.file, block: out.row + blocks }, made);
      }
    });
  } finally {
    db.close();
  }
  return { blocks, bytes };
}

function rewritten(
  { level }: RewriteJob,
  stored: StoredBlock,
  writer: BlockWriter,
  edit: ((parts: BlockPart[]) => BlockPart[]) | undefined,
): StoredBlock {
  if (edit === undefined && level === undefined) return stored;
  const raw = unpack(stored.codec, stored.data);
  if (edit !== undefined) {
    for (const { lane, streamNo, run } of edit(readBlockParts(raw))) {
      writer.add(lane, streamNo, run.lane, run.items, 0, Number.POSITIVE_INFINITY);
    }
  }
  const bytes = edit === undefined ? raw : writer.finish();
  return { ...pack(bytes, { codec: CODEC_ZSTD, level: level ?? EDITED_LEVEL }), rawBytes: bytes.length };
}

function syncFile(path: string): void {
  const fd = openSync(path, "r+");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  syncDirectory(dirname(path));
}
