/**
 * Imports an exported shard into a data directory that does not have it.
 *
 * It is unpacked beside its place, checked there as `verify` checks a shard, made durable, and takes its place with one
 * rename: a crash leaves all of it or nothing, and perhaps `shards/NNN.import`, which no server looks at and the next
 * import of that shard removes.
 *
 * The caller holds the directory, or, beside an open store, has never asked it for this shard.
 */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { CorruptionError } from "../errors.ts";
import { createDirectory } from "../files/sqlite/database-file.ts";
import { listSegments } from "../files/placed/state-reader.ts";
import { placedPath, putPlaced } from "../files/placed-shards.ts";
import { recentPath, segmentFileNo, shardDirectory } from "../files/sqlite/paths.ts";
import { openImage } from "./database-image.ts";
import { SHARD_COUNT, type ShardId } from "../types.ts";
import { eachRecord, readLog } from "./log-reader.ts";
import { emptyReport, Findings } from "./report.ts";
import { recentShards } from "./shard-layers.ts";
import { readExport, readExportHeader, writeAll, type ExportEnd, type ExportHeader } from "./export-file.ts";
import { verifyShardFiles } from "./verify-shard.ts";

export type ImportedShard = ExportHeader & ExportEnd;

/** The directory has something of this shard already. */
export class ShardNotEmptyError extends Error {
  constructor(shard: ShardId, where: string) {
    super(`shard ${shard} is not empty: ${where}`);
    this.name = "ShardNotEmptyError";
  }
}

/** @throws CorruptionError when the file is not what was exported; FormatError; ShardNotEmptyError */
export async function importShard(
  directory: string,
  file: string,
  progress: (done: number, total: number) => void = () => {},
): Promise<ImportedShard> {
  refuseExisting(directory, shardOf(file));
  const imported = unpackShard(directory, file, progress);
  await new Promise(setImmediate);
  placeShard(directory, imported.shard as ShardId);
  return imported;
}

/**
 * The first half of an import: the shard is whole, checked and durable beside its place.
 * @throws as `importShard`; then nothing is left
 */
export function unpackShard(
  directory: string,
  file: string,
  progress: (done: number, total: number) => void = () => {},
): ImportedShard {
  const unpacked = unpackedPath(directory, shardOf(file));
  fs.rmSync(unpacked, { recursive: true, force: true });
  createDirectory(dirname(unpacked));
  createDirectory(unpacked);
  try {
    const imported = unpack(file, unpacked, progress);
    check(file, unpacked, imported);
    return imported;
  } catch (error) {
    fs.rmSync(unpacked, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The second half: the shard takes its place. What is there is removed: an older state of the same shard. A crash leaves
 * the older state, or `shards/NNN.placed`: then the next opening of the store brings that to its place.
 */
export function placeShard(directory: string, shard: ShardId): void {
  const placed = placedPath(directory, shard);
  fs.renameSync(unpackedPath(directory, shard), placed);
  syncPath(dirname(placed));
  putPlaced(directory, shard);
}

const unpackedPath = (directory: string, shard: ShardId): string => `${shardDirectory(directory, shard)}.import`;

function shardOf(file: string): ShardId {
  const { shard } = readExportHeader(file);
  if (Number.isInteger(shard) && shard >= 0 && shard < SHARD_COUNT) return shard as ShardId;
  throw new CorruptionError(file, "its header", `${shard} is no shard`);
}

function refuseExisting(directory: string, shard: ShardId): void {
  const place = shardDirectory(directory, shard);
  if (fs.existsSync(place) && fs.readdirSync(place).length > 0)
    throw new ShardNotEmptyError(shard, `${place} is there`);
  if (recentShards(directory).some((row) => row.shard === shard))
    throw new ShardNotEmptyError(shard, `${recentPath(directory)} knows it`);
  let isInLog = false;
  readLog(directory, {
    frame(frame) {
      eachRecord(frame, (record) => (isInLog = record.shard === shard));
      return isInLog;
    },
  });
  if (isInLog) throw new ShardNotEmptyError(shard, "the log has records of it");
}

function unpack(file: string, into: string, progress: (done: number, total: number) => void): ImportedShard {
  const total = fs.statSync(file).size;
  let header: ExportHeader | undefined;
  let out: number | undefined;
  let done = 0;
  const finish = (): void => {
    if (out === undefined) return;
    fs.fsyncSync(out);
    fs.closeSync(out);
    out = undefined;
  };
  try {
    const end = readExport(file, {
      header: (found) => (header = found),
      file(name) {
        finish();
        out = fs.openSync(join(into, name), "wx", 0o600);
      },
      bytes(piece) {
        writeAll(out!, piece);
        progress((done += piece.length), total);
      },
    });
    finish();
    syncPath(into);
    return { ...header!, ...end };
  } finally {
    if (out !== undefined) fs.closeSync(out);
  }
}

/** Every part was whole; this says that they are a shard, and this one. */
function check(file: string, unpacked: string, { shard, term, flushedThrough, streams }: ImportedShard): void {
  if (!fs.existsSync(join(unpacked, "state.db"))) throw new CorruptionError(file, "its parts", "there is no state.db");
  const findings = new Findings();
  const found = verifyShardFiles({
    at: unpacked,
    name: file,
    shard: shard as ShardId,
    findings,
    report: emptyReport(unpacked),
    recent: undefined,
    inLog: undefined,
    progress: () => {},
  });
  const [first] = findings.list;
  if (first !== undefined) throw new CorruptionError(first.file, first.place, first.what);
  refuseUnlisted(file, unpacked);
  if (found?.term === term && found.flushedThrough === flushedThrough && found.streams === streams) return;
  const told = `term ${term}, offset ${flushedThrough} and ${streams} streams`;
  throw new CorruptionError(file, "its header", `it says ${told}, its state says otherwise`);
}

/** A server would remove it; an export has none. */
function refuseUnlisted(file: string, unpacked: string): void {
  const { db } = openImage(join(unpacked, "state.db"));
  try {
    const listed = new Set(listSegments(db).map((segment) => segment.file));
    for (const name of fs.readdirSync(unpacked)) {
      const no = segmentFileNo(name);
      if (no !== undefined && !listed.has(no)) throw new CorruptionError(file, name, "state.db does not list it");
    }
  } finally {
    db.close();
  }
}

function syncPath(path: string): void {
  const directory = fs.openSync(path, "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
