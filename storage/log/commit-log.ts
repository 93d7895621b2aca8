/**
 * The log that shards append to, as a port. The store knows this file and no implementation; `local/` is the write-ahead log of one machine.
 *
 *     shard.append ─▶ open ─▶ encode into `out` ─▶ push ─▶ … durable … ─▶ committed ─▶ told
 *                                │ throws: cancel       │ another one may append: withdrawn ─▶ failed(FencedError)
 *                                                       │ nobody knows:                        failed(LogFailedError)
 *
 * Promises of every implementation (test/storage/log/conformance.ts)
 * - Order: records of one shard are committed in the order in which they were pushed. Each commit is told of its end once.
 * - Durability: `committed` comes after the record, and every earlier one of its shard, would survive a power cut.
 * - Fencing: a record that may not be appended is withdrawn, and uses no offset. No later one of its shard is committed in that term.
 * - Recovery reads what was committed, in order. It may read more: what failed with `LogFailedError`. It never reads what was fenced.
 * - The log is trimmed only where `trim` has said that nobody needs it.
 * - Failure, pressure and reopening are told per shard. Shards may have one cause, and need not.
 *
 * An implementation decides what a position means, and nobody else looks into one.
 */
import type { CorruptionError, LogFailure } from "../errors.ts";
import type { ByteWriter } from "../record.ts";
import type { Shortage } from "../shortage.ts";
import type { Pace } from "../steps.ts";
import type { LogPosition, Offset, ShardId, Term } from "../types.ts";

/** A record that was pushed, and whoever is told of its end. */
export type Commit = {
  readonly shard: ShardId;
  /** Its bytes in `out`, and in the buffer that `committed` gets. */
  readonly start: number;
  readonly end: number;
  /**
   * It is durable: lets it take effect. `bytes` is overwritten after the call: copy what is to stay. When this throws,
   * memory no longer says what the log says, and the log of that shard has failed.
   */
  committed(bytes: Buffer, position: LogPosition): void;
  /** After `committed`: whoever waits is told. The log passes on what this throws, and goes on. */
  told(): void;
  /**
   * LogFailedError: nobody knows whether it is in the log, until that is recovered.
   * FencedError: it is not in the log, now or later, and was withdrawn before.
   */
  failed(error: LogFailure): void;
  /** As if it had never been pushed: its offset is free again. Of several, the newest comes first. */
  withdrawn(): void;
};

/** Where records are encoded. One for all shards of a store: at most one record is open at a time. */
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
  /** The open record is none: its bytes go. */
  cancel(): void;
  /** Ends the open record. Its commit is told in a later turn of the event loop, and never in this call. */
  push(commit: Commit): void;
  /** For `rollBack`, in the same turn of the event loop. */
  readonly savepoint: number;
  /** Withdraws what was pushed since, of whatever shard. */
  rollBack(savepoint: number): void;
};

/**
 * - nothing: there is no log, and no trace of one.
 * - begun: it was made, and no record was ever written.
 * - records: anything else.
 */
export type LogContents = "nothing" | "begun" | "records";

/** Bytes that recovery reads together, a file for example. Overwritten when the next part is read. */
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
export type LogMark = { offset: Offset; position: LogPosition; term: Term };

/** Whoever takes what recovery reads. */
export type LogReader = {
  /** How far the shard is in segments: records behind it are wanted. */
  flushed(shard: ShardId): LogMark;
  /** Records, one behind the other, in `part.bytes[from, to)`. Those at or below a shard's `flushedThrough` may be among them. */
  records(part: LogPart, from: number, to: number): void;
  /**
   * From here on this shard's records are of this term. Told of what is behind the mark alone. A log without ownership of
   * its own, whose records tell all of it, need not call it.
   */
  term(shard: ShardId, term: Term): void;
  /** It turns out that the log was never begun. @throws CorruptionError when segments say that it was */
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

/** What the log keeps for a shard that is closed: records from `first` through `last`, both 0 for none. */
export type LogRange = { first: LogPosition; last: LogPosition };
export type Kept = LogRange & { shard: ShardId };

/** Everything that was committed before a moment, so that it can be known when it is gone. */
export type LogCut = {
  /** Whether a record at this position is part of it. */
  holds(need: Needed): boolean;
  /** Whether the log has nothing of it any more, after `trim`. */
  isGone(): boolean;
};

/** What a log tells its store. */
export type LogHooks = {
  /** Just before records are written: the last chance to push more of them. */
  beforeWrite(): void;
  /** After commits were told, and the log of their shards goes on. */
  afterCommit(): void;
  /** A hook threw, or whoever was told. */
  onListenerError(error: unknown): void;
  /** These shards have failed. After every commit that waited was told; once for each shard. */
  onFailure(error: LogFailure, shards: readonly ShardId[]): void;
  /** Something could not be trimmed. It is tried again. */
  onTrimFailure(error: unknown): void;
  /**
   * Asked before a part of the log goes: what closed shards need of it is to be kept elsewhere.
   * @throws when that is not noted durably: then nothing goes
   */
  kept(): readonly Kept[];
};

export type CommitLog = {
  readonly appender: Appender;

  // ---- opening, in this order

  contents(): Promise<LogContents>;
  /** From now on this is the one that writes. @throws OtherWriterError, DirectoryLostError, FormatError */
  begin(): Promise<void>;
  /**
   * Reads everything that is not in segments yet.
   * @param pace whether the event loop may turn meanwhile
   * @throws CorruptionError, as `reader.loss` does; FormatError
   */
  recover(reader: LogReader, pace: Pace): Promise<LogRead>;
  /** Makes it writable. @throws what the system says: then call `refuse`, or give up */
  open(): Promise<void>;
  /** It can be read only: every shard has failed with this cause. Told by `failure` alone. */
  refuse(cause: unknown): void;

  // ---- how it stands. Without a shard: what concerns all of them.

  failure(shard?: ShardId): LogFailure | undefined;
  /** Above 1: push nothing new. Infinite when nothing can be taken. Asked for every message. */
  pressure(shard?: ShardId): number;
  /** Why `pressure` is above 1, or the shard has failed; undefined while neither is so. */
  shortage(shard?: ShardId): Shortage | undefined;
  /** The error behind `shortage`, where there is one. */
  shortageCause(shard?: ShardId): unknown;

  // ---- keeping and trimming

  /** How much log is kept, as a part of what it may keep. From 1 on, shards that hold it back are to be flushed. Asked after every commit. */
  readonly fullness: number;
  /** How much log a shard holds back, for comparing shards. Larger is more. */
  heldBack(need: Needed): number;
  /** Whatever is not named is not needed any more, of no shard. */
  trim(needed: Iterable<Needed>): void;
  /** Waits for what is under way. @throws LogFailedError */
  cut(): Promise<LogCut>;
  /** What it may have of a shard that is being closed. @param isAppending more of it is on its way */
  rangeOf(shard: ShardId, oldest: LogPosition | undefined, isAppending: boolean): LogRange;
  /** Damaged parts are kept: nobody knows what is in them. */
  readonly hasDamagedParts: boolean;

  // ---- life

  /** Nobody else has taken its place, and it is where it was. @throws DirectoryLostError, OtherWriterError */
  mustOwn(): void;
  /** The same, to be called now and then. When it is not its own any more it fails. */
  checkOwner(): void;
  /** Asks for a write, and so for `beforeWrite`, although nothing was pushed yet. */
  schedule(): void;
  /** Resolves when everything pushed has been told. */
  idle(): Promise<void>;
  /** Writes nothing more. `mustOwn` and `rangeOf` can still be asked. */
  stop(): Promise<void>;
  /** After `stop`: says for whoever comes next that it has ended. */
  end(): void;
  /** Whether opening anew has a chance now, of this shard or of all. */
  canReopen(shard?: ShardId): Promise<boolean>;
  /** The log that follows this one, which was stopped: not begun yet. For failures that concern all shards. */
  reopen(hooks: LogHooks): CommitLog;
  /**
   * Takes a shard again that has failed alone, in a new term, and reads it.
   * @throws FencedError when it is another one's; Error when the log has failed as a whole, see `reopen`
   */
  reopenShard(shard: ShardId, reader: LogReader): Promise<void>;
};
