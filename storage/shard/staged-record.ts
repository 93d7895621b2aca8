/** A record between "encoded" and "durable": what it will change in memory, and which owner waits for it. */
import type { LogFailure } from "../errors.ts";
import type { MemStream } from "./memtable.ts";
import type { Commit } from "../log/commit-log.ts";
import type { LogPosition, Offset, Seq, ShardId, StreamHead } from "../types.ts";

/** Told of the end of a record, once. */
export type Outcome = {
  /** It has taken effect. */
  committed(): void;
  /**
   * LogFailedError: its fate is unknown until the log is recovered. FencedError: it is not in the log and never will
   * be.
   */
  failed(error: LogFailure): void;
};

/**
 * A record to be: `encode` writes what is in it (shard-log.ts), at once and once; the rest is notified of its end. When
 * `encode` throws, nothing was appended and nothing is notified.
 */
export type RecordSource = Outcome & { encode(): void };

/**
 * A stream as its owner holds it: saves the look-up by name on the hot path. Everything that appends entries to a
 * stream does so through one handle, which therefore knows the head; `head` is what `ShardLog.head` said when the
 * handle was made, undefined for a stream that begins.
 */
export class StreamHandle {
  readonly name: string;
  /** 0 until the stream's first record is durable. */
  streamNo: number;
  headSeq: Seq;
  /** Of the newest entry that was appended, durable or not: the next one follows it. */
  appendedSeq: Seq;
  mem: MemStream | undefined;

  constructor(name: string, head: StreamHead | undefined) {
    this.name = name;
    this.streamNo = head?.streamNo ?? 0;
    this.headSeq = this.appendedSeq = head?.headSeq ?? (0 as Seq);
  }
}

/** Whose records these are. */
type RecordLog = {
  readonly shard: ShardId;
  apply(record: StagedRecord, bytes: Buffer, position: LogPosition): void;
  /** The newest record that was appended is taken back. */
  withdraw(record: StagedRecord): void;
};

/**
 * What an operation needs beside its bytes when it takes effect: the stream's handle, and the name of a cell, which is
 * at hand.
 */
export type StagedOperation = {
  stream: StreamHandle;
  /** Where it begins, behind the record's begin. */
  position: number;
  /** Its name; "" for all others. */
  cell: string;
  /** Of an entry; 0 for all others. */
  seq: Seq;
};

/** A record on its way to disk. Most hold one operation, so the first has its fields here. */
export class StagedRecord implements Commit {
  readonly #log: RecordLog;
  readonly offset: Offset;
  readonly start: number;
  end = 0;
  stream: StreamHandle | undefined = undefined;
  position = 0;
  cell = "";
  seq = 0 as Seq;
  more: StagedOperation[] | undefined = undefined;
  readonly outcome: Outcome;

  constructor(log: RecordLog, offset: Offset, start: number, outcome: Outcome) {
    this.#log = log;
    this.offset = offset;
    this.start = start;
    this.outcome = outcome;
  }

  /** `at` is where the operation begins. */
  add(stream: StreamHandle, at: number, cell: string, seq: Seq): void {
    if (this.stream !== undefined) {
      (this.more ??= []).push({ stream, position: at - this.start, cell, seq });
      return;
    }
    this.stream = stream;
    this.position = at - this.start;
    this.cell = cell;
    this.seq = seq;
  }

  get shard(): ShardId {
    return this.#log.shard;
  }

  apply(bytes: Buffer, position: LogPosition): void {
    this.#log.apply(this, bytes, position);
  }

  notify(): void {
    this.outcome.committed();
  }

  fail(error: LogFailure): void {
    this.outcome.failed(error);
  }

  withdraw(): void {
    this.undo();
    this.#log.withdraw(this);
  }

  /** Its entries were never appended. */
  undo(): void {
    if (this.more !== undefined) for (const { stream, seq } of this.more.reverse()) forget(stream, seq);
    if (this.stream !== undefined) forget(this.stream, this.seq);
  }
}

function forget(stream: StreamHandle, seq: Seq): void {
  if (seq > 0) stream.appendedSeq = (seq - 1) as Seq;
}
