/** A record between "encoded" and "durable": what it will do to memory, and who waits for it. */
import type { LogFailedError } from "./errors.ts";
import type { MemCell, MemEntry, MemStream } from "./memtable.ts";
import type { Offset, Seq, StreamHead } from "./types.ts";
import type { Commit } from "./wal/group-commit.ts";

/** Told when a record has taken effect, or that its fate is unknown until the log is recovered. */
export type Outcome = {
  committed(): void;
  failed(error: LogFailedError): void;
};

/**
 * A stream as its owner holds it: saves the look-up by name on the hot path. Everything that appends entries to a stream does so through one handle,
 * which therefore knows the head; `head` is what `ShardLog.head` said when the handle was made, undefined for a stream that begins.
 */
export class StreamHandle {
  readonly name: string;
  /** 0 until the stream's first record is durable. */
  streamNo: number;
  headSeq: Seq;
  mem: MemStream | undefined;

  constructor(name: string, head: StreamHead | undefined) {
    this.name = name;
    this.streamNo = head?.streamNo ?? 0;
    this.headSeq = head?.headSeq ?? (0 as Seq);
  }
}

type StagedEntry = { kind: "entry"; stream: StreamHandle; entry: MemEntry };
type StagedCell = { kind: "cell"; stream: StreamHandle; key: string; cell: MemCell };
type StagedKey = { kind: "key"; stream: StreamHandle; key: string; seq: Seq; start: number; length: number };
type StagedErase = { kind: "erase"; stream: StreamHandle; lane: string | undefined; fromSeq: Seq; toSeq: Seq };
export type StagedOperation = StagedEntry | StagedCell | StagedKey | StagedErase;

/** Whose records these are. */
type RecordLog = { apply(record: StagedRecord, bytes: Buffer, fileNo: number): void };

/** A record on its way to disk. Most hold one operation, so the first has a field of its own. */
export class StagedRecord implements Commit {
  readonly #log: RecordLog;
  readonly offset: Offset;
  readonly start: number;
  end = 0;
  first: StagedOperation | undefined = undefined;
  more: StagedOperation[] | undefined = undefined;
  outcome: Outcome | undefined = undefined;

  constructor(log: RecordLog, offset: Offset, start: number) {
    this.#log = log;
    this.offset = offset;
    this.start = start;
  }

  add(operation: StagedOperation): void {
    if (this.first === undefined) this.first = operation;
    else (this.more ??= []).push(operation);
  }

  committed(bytes: Buffer, fileNo: number): void {
    this.#log.apply(this, bytes, fileNo);
  }

  told(): void {
    this.outcome?.committed();
  }

  failed(error: LogFailedError): void {
    this.outcome?.failed(error);
  }
}
