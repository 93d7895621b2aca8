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
 * - a missing offset, a missing file, or a bad checksum that is no torn tail: `CorruptionError`, with file and place.
 *   Nothing is guessed. With `onDamage` the shards that it concerns are left out, and the others are recovered.
 *
 * Which shards a gap in the log concerns: offsets of a shard are dense, so one that goes on behind the gap where it
 * stood before has lost nothing, nor has one whose files have what comes next. One that lacks offsets has. Of all
 * others, those that wrote nothing behind the gap, nobody knows: they may have written in it, so they are left out,
 * too.
 *
 * All of it can be done again: a crash in the middle leaves nothing new.
 */
import { join } from "node:path";
import { CorruptionError } from "./errors.ts";
import { RECORD_HEADER_BYTES, recordEnd, recordOffset, recordShard } from "./record.ts";
import { RecoveredStreams } from "./recovered-streams.ts";
import type { OnDamage } from "./segment/types.ts";
import type { ShardLog } from "./shard-log.ts";
import type { Steps } from "./steps.ts";
import { SHARD_COUNT, type ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import { walFileName, walFileNo } from "./log/local/frame.ts";
import { type LogGap, scanWalFileSteps, type WalFileScan } from "./log/local/scan.ts";
import { PREPARED_NAME, type WalPlace } from "./log/local/wal-files.ts";

export type Recovery = {
  oldestFileNo: number;
  newestFileNo: number;
  bytes: number;
  /** Records that were applied: those above their shard's `flushedThrough`. */
  records: number;
  /** Goes on in the head of the next file. */
  chain: number | undefined;
  /** Whether the log ended in a mark: it was closed, or had rested. */
  isMarked: boolean;
  /** Bytes cut from the end of the last file. */
  tornBytes: number;
  /** Damaged parts that were passed over. */
  gaps: number;
};

type RecoveryPorts = {
  directory: string;
  files: FileSystem;
  shard: (id: ShardId) => ShardLog | undefined;
  /** Asked where the log was never begun. @throws CorruptionError when what is made behind its first file is there */
  mustBeUnused: () => void;
  recovered: (log: ShardLog, recordBytes: number) => void;
  /** Where a write failed before, when the process has lived on. */
  unacked: WalPlace | undefined;
  /**
   * Told of each shard that is damaged, once; undefined: damage is thrown. `shard` says undefined for it from then on.
   */
  onDamage: OnDamage | undefined;
};

/** In steps, for a store that is opened anew while the one before it is read. */
export function* recoverLog(ports: RecoveryPorts): Steps<Recovery> {
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
    gaps: 0,
  };
  const records = new RecordReader(ports, recovery);
  let before = recovery.oldestFileNo - 1;
  for (const number of numbers) {
    if (number !== before + 1) records.missing(directory, before + 1);
    yield* recoverFile(ports, number, number === newestFileNo, recovery, records);
    before = number;
  }
  yield* records.end();
  return recovery;
}

function* recoverFile(
  ports: RecoveryPorts,
  fileNo: number,
  isLast: boolean,
  recovery: Recovery,
  records: RecordReader,
): Steps<void> {
  const path = join(ports.directory, walFileName(fileNo));
  const bytes = records.readFile(path);
  yield;
  // Of what stood before the oldest file nothing is known, once files were trimmed.
  const chain = fileNo > recovery.oldestFileNo ? recovery.chain : fileNo === 1 ? 0 : undefined;
  const scan = yield* scanWalFileSteps(
    path,
    bytes,
    { fileNo, isLast, chain },
    (from, to) => records.read(path, fileNo, bytes, from, to),
    (gap) => records.gap(gap),
  );
  recovery.bytes += scan.wholeBytes;
  if (isLast && scan.torn) recovery.tornBytes = bytes.length - scan.wholeBytes;
  if (isLast && scan.wholeBytes === 0) return dropUnbegun(ports, path, fileNo, recovery);
  recovery.chain = scan.chain;
  recovery.isMarked = scan.isMarked;
  if (isLast) mendEnd(ports, path, bytes, fileNo, scan);
}

/** Its head was not written whole: it holds nothing. */
function dropUnbegun(
  { files, directory, mustBeUnused }: RecoveryPorts,
  path: string,
  fileNo: number,
  recovery: Recovery,
): void {
  if (fileNo === 1) mustBeUnused();
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
  /** Null for a shard that is damaged. */
  readonly #logs: (ShardLog | null | undefined)[] = [];
  readonly #gaps: CorruptionError[] = [];
  /** In how many of the gaps each shard has lost nothing for certain. */
  readonly #passed = new Uint32Array(SHARD_COUNT);

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

  missing(directory: string, fileNo: number): void {
    this.gap({ error: new CorruptionError(directory, walFileName(fileNo), "a log file is missing"), isEmpty: false });
    this.#recovery.chain = undefined;
  }

  /** @throws its error where damage is not passed over */
  gap({ error, isEmpty }: Pick<LogGap, "error" | "isEmpty">): void {
    if (this.#ports.onDamage === undefined) throw error;
    this.#recovery.gaps++;
    if (!isEmpty) this.#gaps.push(error);
  }

  /** After the last file: lets the records take effect. */
  *end(): Steps<void> {
    if (this.#gaps.length > 0) this.#leaveOutUnknown();
    const streams = new RecoveredStreams();
    for (const log of this.#logs) {
      if (log) this.#apply(log, streams);
      yield;
    }
  }

  /** Those in `bytes[from, to)` of the file. */
  read(path: string, fileNo: number, bytes: Buffer, from: number, to: number): void {
    for (let at = from; at < to;) {
      const end = recordEnd(bytes, at);
      const shard = recordShard(bytes, at);
      if (end > to || end < at + RECORD_HEADER_BYTES || shard >= SHARD_COUNT)
        return this.gap({ error: new CorruptionError(path, `byte ${at}`, "a record is not whole"), isEmpty: false });
      const log = (this.#logs[shard] ??= this.#ports.shard(shard) ?? null);
      if (log !== null) this.#take(log, path, fileNo, bytes, at, end);
      at = end;
    }
  }

  #take(log: ShardLog, path: string, fileNo: number, bytes: Buffer, at: number, end: number): void {
    const offset = recordOffset(bytes, at);
    const before = log.durableThrough;
    if (!log.recover(offset, bytes, at, end, fileNo)) {
      const lacks = `shard ${log.shard} goes on with offset ${offset}, but ${before + 1} is missing`;
      return this.#leaveOut(log.shard, new CorruptionError(path, `byte ${at}`, lacks));
    }
    this.#passed[log.shard] = this.#gaps.length;
    if (log.durableThrough === before) return;
    this.#recovery.records++;
    this.#ports.recovered(log, end - at);
  }

  #apply(log: ShardLog, streams: RecoveredStreams): void {
    try {
      log.recovered(streams);
    } catch (error) {
      if (this.#ports.onDamage === undefined) throw error;
      const what = `records that cannot be read (${error instanceof Error ? error.message : String(error)})`;
      this.#leaveOut(log.shard, new CorruptionError(this.#ports.directory, `records of shard ${log.shard}`, what));
    }
  }

  #leaveOutUnknown(): void {
    for (const [shard, passed] of this.#passed.entries()) {
      const gap = this.#gaps[passed];
      if (gap !== undefined && this.#logs[shard] !== null) this.#leaveOut(shard as ShardId, gap);
    }
  }

  #leaveOut(shard: ShardId, error: CorruptionError): void {
    if (this.#ports.onDamage === undefined) throw error;
    this.#logs[shard] = null;
    this.#ports.onDamage(shard, error);
  }
}
