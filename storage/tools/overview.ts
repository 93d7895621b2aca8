/** A data directory at a glance: its log files and its shards. Beside a running server too. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { readStack } from "../files/layers/page-table.ts";
import { recentPath, shardDirectory } from "../files/sqlite/paths.ts";
import { openSegmentStore } from "../files/sqlite-segments.ts";
import type { ShardId } from "../types.ts";
import { eachRecord, readLog } from "./log-reader.ts";
import { recentShards } from "./shard-layers.ts";

export type LogFileRow = {
  file: number;
  bytes: number;
  used: number;
  frames: number;
  records: number;
  shards: number;
  end: "mark" | "frame" | "torn";
};
export type ShardOverview = {
  shard: ShardId;
  term: number;
  flushedThrough: number;
  /** Highest offset in the log, 0 for none. */
  logThrough: number;
  streams: number;
  segments: number;
  /** Of its own files. */
  bytes: number;
  /** What it has in `recent.db`, before packing. */
  recentBytes: number;
};
/** `recentFileBytes`: of `recent.db` and its write-ahead file. */
export type Overview = { log: LogFileRow[]; shards: ShardOverview[]; recentFileBytes: number };

export async function overview(directory: string): Promise<Overview> {
  const { log, inLog } = readFiles(directory);
  const recent = recentBytes(directory);
  const at = join(directory, "shards");
  const named = existsSync(at) ? readdirSync(at).filter((name) => /^\d{3}$/.test(name)) : [];
  const shards = new Set([...named.map(Number), ...recent.keys(), ...inLog.keys()]);
  const store = openSegmentStore({ dir: directory });
  try {
    const rows = [...shards]
      .toSorted((a, b) => a - b)
      .map((number) => {
        const shard = number as ShardId;
        const { flushedThrough, term, streamCount } = store.reach(shard);
        const part = inLog.get(shard);
        return {
          shard,
          term: Math.max(term, part?.term ?? 0),
          flushedThrough,
          logThrough: part?.through ?? 0,
          streams: streamCount,
          ...files(directory, shard),
          recentBytes: recent.get(number) ?? 0,
        };
      });
    return { log, shards: rows, recentFileBytes: recentFileBytes(directory) };
  } finally {
    await store.close();
  }
}

function readFiles(directory: string) {
  const log: LogFileRow[] = [];
  const inLog = new Map<ShardId, { through: number; term: number }>();
  let records = 0;
  let shards = new Set<ShardId>();
  readLog(directory, {
    frame: (frame) =>
      eachRecord(frame, ({ shard, offset, term }) => {
        records++;
        shards.add(shard);
        inLog.set(shard, { through: offset, term });
      }),
    fileEnd({ fileNo, bytes, wholeBytes, frames, isMarked, torn }) {
      const end = torn ? "torn" : isMarked ? "mark" : "frame";
      log.push({ file: fileNo, bytes, used: wholeBytes, frames, records, shards: shards.size, end });
      records = 0;
      shards = new Set();
    },
  });
  return { log, inLog };
}

function files(directory: string, shard: ShardId): { segments: number; bytes: number } {
  const at = shardDirectory(directory, shard);
  const names = existsSync(at) ? readdirSync(at) : [];
  const bytes = names.map((name) => statSync(join(at, name), { throwIfNoEntry: false })?.size ?? 0);
  return {
    segments: names.filter((name) => /^segment-.*\.db$/.test(name)).length,
    bytes: bytes.reduce((sum, size) => sum + size, 0),
  };
}

/** By shard. */
function recentBytes(directory: string): Map<number, number> {
  return new Map(
    recentShards(directory).map(({ shard, layers }) => [
      shard,
      readStack(layers).layers.reduce((sum, { rawBytes }) => sum + rawBytes, 0),
    ]),
  );
}

function recentFileBytes(directory: string): number {
  const path = recentPath(directory);
  const sizes = [path, `${path}-wal`].map((name) => statSync(name, { throwIfNoEntry: false })?.size ?? 0);
  return sizes.reduce((sum, size) => sum + size, 0);
}
