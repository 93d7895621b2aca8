/**
 * Reads the write-ahead log back into memtables.
 *
 * What a crash leaves, and what is done
 * - a torn tail in the last file: cut, durably, before a new file is begun;
 * - a last frame that was read but may stand in the system's memory only: made durable before anybody is shown what is in it (otherwise a power cut
 *   after a killed process would take back what was shown);
 * - a last file whose head is not whole: removed, its number is free again;
 * - a prepared file that was never used: removed;
 * - records that a flush already brought to segments: skipped by offset;
 * - a missing offset, a missing file, or a bad checksum that is no torn tail: `CorruptionError`, with file and place. Nothing is guessed.
 *
 * All of it can be done again: a crash in the middle leaves nothing new.
 */
import { join } from "node:path";
import { CorruptionError } from "./errors.ts";
import { recordEnd, recordOffset, recordShard } from "./record.ts";
import { RecoveredStreams } from "./recovered-streams.ts";
import type { ShardLog } from "./shard-log.ts";
import type { ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import { scanWalFile, walFileName, walFileNo, type WalFileScan } from "./wal/frame.ts";
import { PREPARED_NAME, type WalPlace } from "./wal/wal-files.ts";

export type Recovery = {
  oldestFileNo: number;
  newestFileNo: number;
  bytes: number;
  /** Records that were applied: those above their shard's `flushedThrough`. */
  records: number;
  /** Goes on in the head of the next file. */
  chain: number;
  /** Whether the log ended in a mark: it was closed, or had rested. */
  isMarked: boolean;
  /** Bytes cut from the end of the last file. */
  tornBytes: number;
};

type RecoveryPorts = {
  directory: string;
  files: FileSystem;
  shard: (id: ShardId) => ShardLog;
  recovered: (log: ShardLog, recordBytes: number) => void;
  /** Where a write failed before, when the process has lived on. */
  unacked: WalPlace | undefined;
};

export function recoverLog(ports: RecoveryPorts): Recovery {
  const { directory, files } = ports;
  const names = files.list(directory);
  if (names.includes(PREPARED_NAME)) files.remove(join(directory, PREPARED_NAME));
  const numbers = names.map(walFileNo).filter((number) => number !== undefined);
  numbers.sort((a, b) => a - b);
  const newestFileNo = numbers[numbers.length - 1] ?? 0;
  const recovery: Recovery = {
    oldestFileNo: numbers[0] ?? 1,
    newestFileNo,
    bytes: 0,
    records: 0,
    chain: 0,
    isMarked: true,
    tornBytes: 0,
  };
  const records = new RecordReader(ports, recovery);
  numbers.forEach((number, index) => {
    if (number !== recovery.oldestFileNo + index) {
      throw new CorruptionError(directory, walFileName(recovery.oldestFileNo + index), "a log file is missing");
    }
    recoverFile(ports, number, number === newestFileNo, recovery, records);
  });
  records.end();
  return recovery;
}

function recoverFile(
  ports: RecoveryPorts,
  fileNo: number,
  isLast: boolean,
  recovery: Recovery,
  records: RecordReader,
): void {
  const path = join(ports.directory, walFileName(fileNo));
  const bytes = records.readFile(path);
  // Of what stood before the oldest file nothing is known, once files were trimmed.
  const chain = fileNo > recovery.oldestFileNo ? recovery.chain : fileNo === 1 ? 0 : undefined;
  const scan = scanWalFile(path, bytes, { fileNo, isLast, chain }, (from, to) =>
    records.read(path, fileNo, bytes, from, to),
  );
  recovery.bytes += scan.wholeBytes;
  if (isLast && scan.torn) recovery.tornBytes = bytes.length - scan.wholeBytes;
  if (isLast && scan.wholeBytes === 0) return dropUnbegun(ports, path, fileNo, recovery);
  recovery.chain = scan.chain;
  recovery.isMarked = scan.isMarked;
  if (isLast) mendEnd(ports, path, bytes, fileNo, scan);
}

/** Its head was not written whole: it holds nothing. */
function dropUnbegun({ files, directory }: RecoveryPorts, path: string, fileNo: number, recovery: Recovery): void {
  files.remove(path);
  // Else it could come back behind a new file of its number's predecessor.
  files.syncDirectory(directory);
  recovery.newestFileNo = fileNo - 1;
}

/**
 * What is shown from now on is made durable. Synchronizing is enough but for a write that failed: the system may hold it for written. What nobody was told of
 * is therefore written again in its place; frames that were acknowledged are not, since a crash could tear them.
 */
function mendEnd(ports: RecoveryPorts, path: string, bytes: Buffer, fileNo: number, scan: WalFileScan): void {
  const { files, unacked } = ports;
  if (scan.torn) files.truncate(path, scan.wholeBytes);
  const from = scan.lastFrameAt ?? 0;
  const isUnacked = unacked !== undefined && unacked.fileNo === fileNo && from >= unacked.position;
  if (!isUnacked && !scan.isMarked && scan.frames > 0) return files.syncFile(path);
  const file = files.openDurable(path, false);
  try {
    files.writeNow(file, bytes.subarray(from, scan.wholeBytes), from);
  } finally {
    files.close(file);
  }
}

/** Brings the records of one file after another to their shards. */
class RecordReader {
  readonly #ports: RecoveryPorts;
  readonly #recovery: Recovery;
  readonly #logs: (ShardLog | undefined)[] = [];

  /** Each file is read to where the one before was: fresh memory for each costs as much as reading it. */
  #room: Buffer | undefined;

  constructor(ports: RecoveryPorts, recovery: Recovery) {
    this.#ports = ports;
    this.#recovery = recovery;
  }

  readFile(path: string): Buffer {
    const bytes = this.#ports.files.read(path, this.#room);
    if (bytes.length > (this.#room?.length ?? 0)) this.#room = bytes;
    return bytes;
  }

  /** After the last file: lets them take effect. */
  end(): void {
    const streams = new RecoveredStreams();
    for (const log of this.#logs) log?.recovered(streams);
  }

  /** Those in `bytes[from, to)` of the file. */
  read(path: string, fileNo: number, bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to;) {
      const end = recordEnd(bytes, at);
      const shard = recordShard(bytes, at);
      const log = (this.#logs[shard] ??= this.#ports.shard(shard));
      const offset = recordOffset(bytes, at);
      const before = log.durableThrough;
      if (!log.recover(offset, bytes, at, end, fileNo)) {
        const lacks = `shard ${shard} goes on with offset ${offset}, but ${before + 1} is missing`;
        throw new CorruptionError(path, `byte ${at}`, lacks);
      }
      if (log.durableThrough > before) {
        this.#recovery.records++;
        this.#ports.recovered(log, end - at);
      }
      at = end;
    }
  }
}
