/**
 * Reads the write-ahead log back into memtables.
 *
 * What a crash leaves, and what is done
 * - a torn tail in the last file: cut, durably, before a new file is begun;
 * - a prepared file that was never used: removed;
 * - records that a flush already brought to segments: skipped by offset;
 * - a missing offset, or a bad checksum that is no torn tail: `CorruptionError`, with file and place. Nothing is guessed.
 */
import { join } from "node:path";
import { CorruptionError } from "./errors.ts";
import { readRecordHead } from "./record.ts";
import type { ShardLog } from "./shard-log.ts";
import type { ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import { scanWalFile, walFileName, walFileNo } from "./wal/frame.ts";
import { PREPARED_NAME } from "./wal/wal-files.ts";

export type Recovery = {
  oldestFileNo: number;
  newestFileNo: number;
  bytes: number;
  /** Records that were applied: those above their shard's `flushedThrough`. */
  records: number;
  /** Bytes cut from the end of the last file. */
  tornBytes: number;
};

type RecoveryPorts = {
  directory: string;
  files: FileSystem;
  shard: (id: ShardId) => ShardLog;
  recovered: (log: ShardLog, recordBytes: number) => void;
};

export function recoverLog(ports: RecoveryPorts): Recovery {
  const { directory, files } = ports;
  const names = files.list(directory);
  if (names.includes(PREPARED_NAME)) files.remove(join(directory, PREPARED_NAME));
  const numbers = names.map(walFileNo).filter((number) => number !== undefined);
  numbers.sort((a, b) => a - b);
  const newestFileNo = numbers[numbers.length - 1] ?? 0;
  const recovery: Recovery = { oldestFileNo: numbers[0] ?? 1, newestFileNo, bytes: 0, records: 0, tornBytes: 0 };
  numbers.forEach((number, index) => {
    if (number !== recovery.oldestFileNo + index) {
      throw new CorruptionError(directory, walFileName(recovery.oldestFileNo + index), "a log file is missing");
    }
    recoverFile(ports, number, number === newestFileNo, recovery);
  });
  return recovery;
}

function recoverFile(ports: RecoveryPorts, fileNo: number, isLast: boolean, recovery: Recovery): void {
  const path = join(ports.directory, walFileName(fileNo));
  const bytes = ports.files.read(path);
  const scan = scanWalFile(path, bytes, fileNo, isLast, (from, to) => {
    for (let at = from; at < to; ) at = recoverRecord(ports, path, bytes, at, fileNo, recovery);
  });
  recovery.bytes += scan.wholeBytes;
  if (!scan.torn) return;
  recovery.tornBytes = bytes.length - scan.wholeBytes;
  if (scan.wholeBytes > 0) return ports.files.truncate(path, scan.wholeBytes);
  // The crash came while the file was begun: it holds nothing, and its number is free again.
  ports.files.remove(path);
  ports.files.syncDirectory(ports.directory);
  recovery.newestFileNo = fileNo - 1;
}

function recoverRecord(ports: RecoveryPorts, path: string, bytes: Buffer, at: number, fileNo: number, recovery: Recovery): number {
  const { shard, offset, opsAt, end } = readRecordHead(bytes, at);
  const log = ports.shard(shard);
  const before = log.durableThrough;
  if (!log.recover(offset, bytes, at, opsAt, end, fileNo)) {
    throw new CorruptionError(path, `byte ${at}`, `shard ${shard} goes on with offset ${offset}, but ${before + 1} is missing`);
  }
  if (log.durableThrough > before) {
    recovery.records++;
    ports.recovered(log, end - at);
  }
  return end;
}
