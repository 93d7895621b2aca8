/**
 * The log that shards append to, as a port. The store knows this file and no implementation of it. `local/` is one: the
 * write-ahead log of one machine.
 *
 *     open ─▶ encode into `out` ─▶ push ─▶ … the log writes … ─▶ apply ─▶ notify
 *                  │ throws: cancel              │ this node may not append: withdraw ─▶ fail(FencedError)
 *                                                │ nobody knows:             fail(LogFailedError)
 *
 * Promises of every implementation (test/storage/log/conformance.ts)
 * - Order: records of one shard are committed in the order in which they were pushed. Each commit is notified of its
 *   end once.
 * - Durability: at `apply`, the record and every earlier one of its shard would survive a power cut.
 * - Fencing: a record that may not be appended is withdrawn and uses no offset. In that term, no later record of its
 *   shard
 *   is committed.
 * - Recovery reads everything that was committed, in order. It may read records that failed with LogFailedError, and
 *   never reads a fenced one.
 * - The log keeps what `trim` says is needed.
 * - Failure, pressure and reopening are reported per shard. Several shards may have one cause for them.
 *
 * The implementation decides what a position means. Nobody else looks into one.
 */
import type { CorruptionError, LogFailure } from "../errors.ts";
import type { ByteWriter } from "../encoding/byte-writer.ts";
import type { Shortage } from "../shortage.ts";
import type { Pace } from "../steps.ts";
import type { LogPosition, Offset, ShardId, Term } from "../types.ts";

/** A record that was pushed, and how its owner is notified of its end. */
export type Commit = {
  readonly shard: ShardId;
  /** Its bytes in `out`, and in the buffer that `apply` gets. */
  readonly start: number;
  readonly end: number;
  /**
   * It is durable: lets it take effect. `bytes` is overwritten after the call: copy what is to stay. When this throws,
   * memory and log no longer agree, and the log of that shard has failed.
   */
  apply(bytes: Buffer, position: LogPosition): void;
  /** After `apply`: notifies the owner. The log reports what this throws, and goes on. */
  notify(): void;
  /**
   * LogFailedError: nobody knows whether it is in the log, until that is recovered.
   * FencedError: it is not in the log, now or later, and was withdrawn before.
   */
  fail(error: LogFailure): void;
  /** As if it had never been pushed: its offset is free again. The newest of several comes first. */
  withdraw(): void;
};

/** Where records are encoded. All shards of a store have one, so at most one record is open at a time. */
export type Appender = {
  /**
   * Records are encoded here between `open` and `push`. Positions in it are stable, the buffer behind them may be
   * replaced. What is written at any other time is overwritten by the next record.
   */
  readonly out: ByteWriter;
  /**
   * Begins a record. @returns where it begins
   * @throws FencedError when this node may not append to the shard; RangeError when too much waits already
   */
  open(shard: ShardId): number;
  /** Drops the bytes of the open record. */
  cancel(): void;
  /** Ends the open record. Its commit is notified in a later turn of the event loop, never in this call. */
  push(commit: Commit): void;
  /** For `rollBack`, in the same turn of the event loop. */
  readonly savepoint: number;
  /** Withdraws what was pushed since, of all shards. */
  rollBack(savepoint: number): void;
};

/**
 * - nothing: there is no log, and no trace of one.
 * - begun: it was made, and no record was ever written.
 * - records: anything else.
 */
export type LogContents = "nothing" | "begun" | "records";

/** Bytes that recovery reads together, for example a file. Overwritten when the next part is read. */
export type LogPart = {
  /** For messages; a place in it is `byte N`. */
  name: string;
  bytes: Buffer;
  /** Of its first record, or one before it. */
  position: LogPosition;
};

/** A part of the log that cannot be read. Records of any shard may be lost in it, unless `isEmpty`. */
export type LogLoss = { error: CorruptionError; isEmpty: boolean };

/**
 * A record of a shard, as it is kept beside what was flushed through it. All are 0 when nothing was flushed; the
 * position also where nobody has kept it: then the log reads from its beginning.
 */
export type LogReach = { offset: Offset; position: LogPosition; term: Term };

/** What recovery hands its findings to. */
export type LogReader = {
  /** How far the shard is in segments: records behind it are wanted. */
  flushed(shard: ShardId): LogReach;
  /** Records, one behind the other, in `part.bytes[from, to)`. Some may be flushed already. */
  records(part: LogPart, from: number, to: number): void;
  /**
   * From here on this shard's records are of this term. Called for terms that begin behind the shard's mark. A log that
   * gives no terms itself need not call it: each record has its term.
   */
  term(shard: ShardId, term: Term): void;
  /** The log was never begun after all. @throws CorruptionError when segments say that it was */
  neverBegun(): void;
  /** @throws its error where damage is not passed over */
  loss(loss: LogLoss): void;
};

/** What recovery has read. */
export type LogRead = {
  bytes: number;
  /** Bytes behind the last whole record, which were never acknowledged: they were cut off. */
  tornBytes: number;
  /** Whether it is known that nothing acknowledged is missing at the end: the log was closed, or had rested. */
  isMarked: boolean;
};

/** A shard has records that are in the log alone, the oldest of them at this position. */
export type Needed = { shard: ShardId; from: LogPosition };

/** What the log keeps for a closed shard: records from `first` through `last`. Both are 0 for none. */
export type LogRange = { first: LogPosition; last: LogPosition };
export type Kept = LogRange & { shard: ShardId };

/** Everything that was committed before a point in time. It says when all of that is gone. */
export type LogCut = {
  /** Whether a record at this position is part of it. */
  holds(need: Needed): boolean;
  /** Whether the log has nothing of it any more, after `trim`. */
  isGone(): boolean;
};

/** What a log reports to its store. */
export type LogHooks = {
  /** Just before records are written: the last chance to push more that go with them. */
  beforeWrite(): void;
  /** After commits were notified, while the log of their shards goes on. */
  afterCommit(): void;
  /** A hook or a notified owner threw. */
  onListenerError(error: unknown): void;
  /** These shards have failed. Called once for each shard, after every commit that waited was notified. */
  onFailure(error: LogFailure, shards: readonly ShardId[]): void;
  /** Something could not be trimmed. The next trim tries again. */
  onTrimFailure(error: unknown): void;
  /**
   * Asked before a part of the log is removed: what closed shards need of it must be kept elsewhere.
   * @throws when that could not be noted durably: then nothing is removed
   */
  kept(): readonly Kept[];
};

export type CommitLog = {
  readonly appender: Appender;
  /** Records of all shards are committed in the order in which they were pushed: whoever finds one finds all before it. Absent: of one shard alone. */
  readonly isOneOrder?: boolean;

  // ---- opening, in this order

  contents(): Promise<LogContents>;
  /** From now on this log is the one that writes. @throws OtherWriterError, DirectoryLostError, FormatError */
  begin(): Promise<void>;
  /**
   * Reads everything that is not in segments yet.
   * @param pace whether the event loop turns meanwhile
   * @throws CorruptionError, as `reader.loss` does; FormatError
   */
  recover(reader: LogReader, pace: Pace): Promise<LogRead>;
  /** Makes it writable. @throws what the system says: then call `refuse`, or give up */
  open(): Promise<void>;
  /** Makes it read only: every shard has failed with this cause. `onFailure` is not called. */
  refuse(cause: unknown): void;

  // ---- state. Without a shard: what concerns all of them.

  failure(shard?: ShardId): LogFailure | undefined;
  /** Above 1 the caller should push nothing new. Infinite when nothing can be accepted. Asked for every message. */
  pressure(shard?: ShardId): number;
  /** Why `pressure` is above 1, or the shard has failed; undefined while neither is so. */
  shortage(shard?: ShardId): Shortage | undefined;
  /** The error behind `shortage`, where there is one. */
  shortageCause(shard?: ShardId): unknown;

  // ---- keeping and trimming

  /** Size of the log as a part of what it may keep. From 1 on, shards must be flushed. Asked after every commit. */
  readonly fullness: number;
  /** How much of the log is kept for this need. For comparing shards. */
  heldBack(need: Needed): number;
  /** Nothing else of the log is needed any more. */
  trim(needed: Iterable<Needed>): void;
  /** What was committed so far. Waits for what is under way. @throws LogFailedError */
  cut(): Promise<LogCut>;
  /** Where the log may have records of a shard that is being closed. @param isAppending more are on their way */
  rangeOf(shard: ShardId, oldest: LogPosition | undefined, isAppending: boolean): LogRange;
  /** Damaged parts of the log are kept. Nobody knows what is in them. */
  readonly hasDamagedParts: boolean;

  // ---- life

  /** It is where it was, and nobody else writes to it. @throws DirectoryLostError, OtherWriterError */
  mustOwn(): void;
  /** The same check, for calling now and then. Here the log fails instead of throwing. */
  checkOwner(): void;
  /** Asks for a write, and so for `beforeWrite`, although nothing was pushed yet. */
  schedule(): void;
  /** Resolves when everything that was pushed has been notified. */
  idle(): Promise<void>;
  /** Writes nothing more. `mustOwn` and `rangeOf` can still be asked. */
  stop(): Promise<void>;
  /** After `stop`: notes for the next opening that this one has ended. */
  end(): void;
  /** Whether opening again has a chance now: of this shard, or of all. */
  canReopen(shard?: ShardId): Promise<boolean>;
  /** The log that follows this one, which was stopped. Not begun yet. For failures of all shards. */
  reopen(hooks: LogHooks): CommitLog;
  /**
   * Takes a shard again that has failed alone, in a new term, and reads its records.
   * Records of it that were pushed before and not committed have failed when this resolves, those pushed meanwhile too.
   * @throws FencedError when another node keeps it; Error when the log has failed as a whole, see `reopen`
   */
  reopenShard(shard: ShardId, reader: LogReader): Promise<void>;
};
