/**
 * One shard as its owner uses it: append records, read what is durable (durable-reads.ts).
 *
 * Invariants
 * - Offsets are dense; a record gets its offset when it is appended, takes effect when it is durable, both in the same
 *   order.
 * - A record is encoded whole or not at all: an encoder that throws leaves nothing behind, in no shard.
 * - `flushedThrough` < first offset of the frozen memtable <= ... < first offset of the active one.
 *
 * After a crash: what is durable and above `flushedThrough` is applied again by recovery, in the same order, to the
 * same effect.
 */
import type { CommitLog, Appender } from "../log/commit-log.ts";
import { type DamagedShardError, FencedError, LogFailedError, type LogFailure } from "../errors.ts";
import { Memtable, MemStream } from "./memtable.ts";
import { OP_CELL, OP_ENTRY, OP_ERASE, OP_KEY, Operation } from "../encoding/operation.ts";
import type { ByteWriter } from "../encoding/byte-writer.ts";
import {
  beginEntry,
  beginRecord,
  endEntry,
  endRecord,
  RECORD_HEADER_BYTES,
  recordEnd,
  recordOffset,
  recordShard,
  recordTerm,
  writeCell,
  writeErase,
  writeKey,
  writeNumbersCell,
} from "../encoding/record.ts";
import type { RecoveredStreams } from "./recovered-streams.ts";
import type { SegmentStore, ShardReach } from "../files/segment-store.ts";
import { DurableReads } from "./durable-reads.ts";
import type { Shortage } from "../shortage.ts";
import type { SlabPool } from "./slab-pool.ts";
import { CopiedRecord } from "./copied-record.ts";
import { StagedRecord, type Outcome, type RecordSource, type StreamHandle } from "./staged-record.ts";
import type { LogPosition, Offset, Seq, ShardId, StreamHead, Term } from "../types.ts";

const NO_SEQ = 0 as Seq;
const FIRST_TERM = 1;

/** Gets a record that is durable: `bytes[start, end)`. */
export type Follower = (bytes: Buffer, start: number, end: number) => void;

export class ShardLog extends DurableReads {
  readonly #log: CommitLog;
  /** Of `#log`, which is asked for it with every record. */
  readonly #appender: Appender;
  readonly #slabs: SlabPool;
  readonly #onApplied: (log: ShardLog, bytes: number) => void;
  /** Whether it has records that are not in segments; the flusher's note. */
  isDirty = false;
  /** Nothing is appended any more. What was appended before still takes effect. */
  #closedBy: DamagedShardError | LogFailure | undefined;
  #term: Term;
  #streamCount: number;
  #flushes = 0;
  readonly #followers = new Set<Follower>();
  #nextOffset: Offset;
  #durableThrough: Offset;
  /** The record that is being encoded. */
  #staged: StagedRecord | undefined;
  /**
   * Where its last whole operation ends: the next one begins there. Bytes beside operations could not be read again.
   */
  #wholeTo = 0;
  /** Of the entry that is being written; 0 between entries. */
  #payloadAt = 0;
  #payloadBytesMax = 0;

  constructor(
    shard: ShardId,
    reach: ShardReach,
    log: CommitLog,
    segments: SegmentStore,
    slabs: SlabPool,
    onApplied: (log: ShardLog, bytes: number) => void,
  ) {
    super(shard, segments, slabs);
    this.#slabs = slabs;
    this.#term = (reach.term || FIRST_TERM) as Term;
    this.#log = log;
    this.#appender = log.appender;
    this.#onApplied = onApplied;
    this.#streamCount = reach.streamCount;
    this.#durableThrough = reach.flushedThrough;
    this.#nextOffset = (reach.flushedThrough + 1) as Offset;
  }

  /** Highest offset that has taken effect. */
  get durableThrough(): Offset {
    return this.#durableThrough;
  }

  /** Of the record that is being encoded, or appended next. */
  get nextOffset(): Offset {
    return this.#nextOffset;
  }

  /** That records are appended under: the highest that recovery has read, or that was flushed. */
  get term(): Term {
    return this.#term;
  }

  /** Why nothing can be appended to this shard; what was committed can be read. */
  get failure(): LogFailure | undefined {
    const closedBy = this.#closedBy;
    if (closedBy === undefined) return this.#log.failure(this.shard);
    return closedBy instanceof FencedError || closedBy instanceof LogFailedError
      ? closedBy
      : this.#log.failure(this.shard);
  }

  /** Whether records of all shards are committed in the order in which they were appended, whatever their shards. */
  get isOneOrder(): boolean {
    return this.#log.isOneOrder === true;
  }

  /** Of the log alone, for this shard; see `LogStore.pressure`. */
  get pressure(): number {
    return this.#log.pressure(this.shard);
  }

  get shortage(): Shortage | undefined {
    return this.#log.shortage(this.shard);
  }

  /** Its shard is damaged, or was opened anew: nothing of it is flushed. A fenced one is flushed like any other. */
  get isClosed(): boolean {
    return this.#closedBy !== undefined && !(this.#closedBy instanceof FencedError);
  }

  /** Whether records of it are on their way to the log. */
  get isAppending(): boolean {
    return this.#nextOffset - 1 > this.#durableThrough;
  }

  close(error: DamagedShardError | LogFailure): void {
    this.#closedBy ??= error;
  }

  // ---- append

  /**
   * Appends a record: `source.encode` says what is in it, by the calls below, before this returns. When it is durable,
   * it takes effect and `source` is notified.
   * @throws what `encode` throws, RangeError for what a field of the record cannot hold, DamagedShardError for a shard
   * that is closed, LogFailedError for one that was opened anew, FencedError for one whose term is over; then nothing
   * was appended
   */
  append(source: RecordSource): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const { out } = this.#appender;
    const start = this.#appender.open(this.shard);
    const offset = this.#nextOffset;
    const staged = (this.#staged = new StagedRecord(this, offset, start, source));
    try {
      beginRecord(out, this.shard, this.#term, offset);
      this.#wholeTo = out.pos;
      source.encode();
      if (out.pos !== this.#wholeTo) throw notWhole();
      endRecord(out, start);
    } catch (error) {
      this.#cancel(staged);
      throw error;
    }
    this.#staged = undefined;
    staged.end = out.pos;
    this.#nextOffset = (offset + 1) as Offset;
    this.#appender.push(staged);
  }

  #cancel(staged: StagedRecord): void {
    this.#staged = undefined;
    this.#payloadAt = 0;
    staged.undo();
    this.#appender.cancel();
  }

  /** Where the log stands, for `rollBack` in the same turn of the event loop. All shards of a store have one. */
  get savepoint(): number {
    return this.#appender.savepoint;
  }

  /**
   * Takes back what was appended since `savepoint`, in all shards, when a record that belongs to it could not be
   * appended. No owner is notified.
   */
  rollBack(savepoint: number): void {
    this.#appender.rollBack(savepoint);
  }

  /** For `rollBack`. */
  withdraw(record: { readonly offset: Offset }): void {
    this.#nextOffset = record.offset;
  }

  /** Where the payload of a begun entry goes. */
  get writer(): ByteWriter {
    return this.#appender.out;
  }

  /** Begins an operation. @returns where */
  #begin(): number {
    if (this.#staged === undefined) throw notOpen();
    const { pos } = this.#appender.out;
    if (pos !== this.#wholeTo) throw notWhole();
    return pos;
  }

  /** Ends the operation that began at `at`. */
  #end(stream: StreamHandle, at: number, cell: string): void {
    this.#staged!.add(stream, at, cell, NO_SEQ);
    this.#wholeTo = this.#appender.out.pos;
  }

  /** The caller writes the payload to the writer next, at most `payloadBytesMax`, then calls `endEntry`. */
  beginEntry(stream: StreamHandle, lane: string, key: string, seq: Seq, payloadBytesMax: number): void {
    const { out } = this.#appender;
    const { pos } = out;
    const staged = this.#staged;
    // As `#begin` does: written out, since a call to a private method costs a message 10 ns.
    if (staged === undefined) throw notOpen();
    if (pos !== this.#wholeTo) throw notWhole();
    if (seq !== stream.appendedSeq + 1)
      throw new Error(`assertion failed: entry ${seq} of ${stream.name} does not follow ${stream.appendedSeq}`);
    this.#payloadAt = beginEntry(out, stream.name, lane, key, seq, payloadBytesMax);
    this.#payloadBytesMax = payloadBytesMax;
    staged.add(stream, pos, "", seq);
    stream.appendedSeq = seq;
  }

  endEntry(): void {
    const { out } = this.#appender;
    if (this.#payloadAt === 0) throw new Error("assertion failed: no entry is being written");
    const bytes = out.pos - this.#payloadAt;
    if (bytes < 0 || bytes > this.#payloadBytesMax)
      throw new RangeError(`a payload of ${bytes} bytes, reserved were ${this.#payloadBytesMax}`);
    endEntry(out, this.#payloadAt);
    this.#payloadAt = 0;
    this.#wholeTo = out.pos;
  }

  putCell(stream: StreamHandle, name: string, value: Uint8Array | null): void {
    const at = this.#begin();
    writeCell(this.#appender.out, stream.name, name, value);
    this.#end(stream, at, name);
  }

  /** A cell of one or two numbers of at most 53 bits, encoded where it is written from. */
  putNumbers(stream: StreamHandle, name: string, first: number, second?: number): void {
    const at = this.#begin();
    writeNumbersCell(this.#appender.out, stream.name, name, first, second);
    this.#end(stream, at, name);
  }

  /** Sets a key that belongs to no entry of this stream. */
  putKey(stream: StreamHandle, key: string, seq: Seq, value: Uint8Array): void {
    const at = this.#begin();
    writeKey(this.#appender.out, stream.name, key, seq, value);
    this.#end(stream, at, "");
  }

  /**
   * Makes entries of the stream tombstones, of one lane or of all: seq, offset and lane stay, key and payload are gone,
   * from what is read once the record is durable, from the files once `LogStore.eraseNow` has resolved. Entries that
   * come later are not meant, even below `toSeq`.
   */
  erase(stream: StreamHandle, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void {
    const at = this.#begin();
    writeErase(this.#appender.out, stream.name, lane, fromSeq, toSeq);
    this.#end(stream, at, "");
  }

  /**
   * Appends a record as the shard's owner before has it in its log: under the same offset and term. It takes effect when
   * it is durable here. One that is here already is passed over, and nothing is told of it.
   * @param bytes one whole record
   * @throws RangeError for bytes that are no record of this shard, or not the one that follows; else as `append`
   */
  appendCopy(bytes: Buffer, outcome: Outcome): void {
    if (this.#closedBy !== undefined) throw this.#closedBy;
    const offset = this.#copyOffset(bytes);
    if (offset < this.#nextOffset) return;
    const { out } = this.#appender;
    const start = this.#appender.open(this.shard);
    out.reserve(bytes.length);
    out.raw(bytes);
    this.#nextOffset = (offset + 1) as Offset;
    this.#appender.push(new CopiedRecord(this, offset, start, out.pos, outcome));
  }

  #copyOffset(bytes: Buffer): Offset {
    if (
      bytes.length < RECORD_HEADER_BYTES ||
      recordEnd(bytes, 0) !== bytes.length ||
      recordShard(bytes, 0) !== this.shard
    )
      throw new RangeError(`${bytes.length} bytes are no record of shard ${this.shard}`);
    const offset = recordOffset(bytes, 0);
    if (offset > this.#nextOffset)
      throw new RangeError(`a copied record has offset ${offset}, and ${this.#nextOffset} is missing`);
    const fault = offset === this.#nextOffset ? this.beginTerm(recordTerm(bytes, 0)) : undefined;
    if (fault !== undefined) throw new RangeError(`a copied record ${fault}`);
    return offset;
  }

  /**
   * Passes on each record that is durable and above `after`, in order: those in memory at once, later ones as they take
   * effect. `bytes[start, end)` is overwritten after the call.
   * @returns ends it
   * @throws RangeError if records above `after` are in files alone
   */
  follow(after: Offset, follower: Follower): () => void {
    const first = [this.frozen, this.active].find((table) => table?.isEmpty === false)?.firstOffset;
    if ((first ?? this.#nextOffset) > after + 1)
      throw new RangeError(`records of shard ${this.shard} above ${after} have left memory`);
    for (const table of [this.frozen, this.active])
      table?.forEachRecord((_, bytes, start, end) => {
        if (recordOffset(bytes, start) > after) follower(bytes, start, end);
      });
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  // ---- apply

  /** Called by the log, in its order, once the record is durable. `bytes` is copied. */
  apply(record: StagedRecord, bytes: Buffer, position: LogPosition): void {
    const { offset, start, end, stream } = record;
    const bytesBefore = this.active.memoryBytes;
    const at = this.active.record(offset, bytes, start, end, position);
    this.#durableThrough = offset;
    if (stream !== undefined) this.#applyOperation(stream, at, record.position, record.cell, record.seq);
    if (record.more !== undefined) {
      for (const { stream: other, position, cell, seq } of record.more)
        this.#applyOperation(other, at, position, cell, seq);
    }
    if (this.#followers.size > 0) this.#tellFollowers(bytes, start, end);
    this.#onApplied(this, this.active.memoryBytes - bytesBefore);
  }

  /** Called by the log for a record that was copied. */
  applyCopy({ offset, start, end }: CopiedRecord, bytes: Buffer, position: LogPosition): void {
    const bytesBefore = this.active.memoryBytes;
    const record = this.active.record(offset, bytes, start, end, position);
    this.#durableThrough = offset;
    const operation = new Operation();
    for (let at = start + RECORD_HEADER_BYTES; at < end;) {
      const next = operation.read(bytes, at);
      const mem = this.#memNamed(operation.stream(), undefined);
      this.#recoverOperation(mem, operation, this.active.pointer(record, at - start));
      at = next;
    }
    if (this.#followers.size > 0) this.#tellFollowers(bytes, start, end);
    this.#onApplied(this, this.active.memoryBytes - bytesBefore);
  }

  #tellFollowers(bytes: Buffer, start: number, end: number): void {
    for (const follower of this.#followers) follower(bytes, start, end);
  }

  #applyOperation(stream: StreamHandle, record: number, position: number, cell: string, seq: Seq): void {
    const pointer = this.active.pointer(record, position);
    const mem = this.#memOf(stream);
    if (seq !== NO_SEQ) {
      mem.append(seq, pointer);
      stream.headSeq = seq;
      return;
    }
    if (this.active.kindOf(pointer) === OP_CELL) mem.setCell(cell, pointer);
    else this.#applyRare(mem, this.active.operation(pointer), pointer);
  }

  #applyRare(mem: MemStream, operation: Operation, pointer: number): void {
    if (operation.kind === OP_KEY) return mem.setKey(pointer);
    if (operation.kind !== OP_ERASE) throw new Error(`assertion failed: nothing stages operation ${operation.kind}`);
    const range = mem.erase(operation.laneOrAll(), operation.fromSeq, operation.toSeq);
    // The frozen memtable was handed to the flush as it was; there only its readers are to see nothing any more.
    if (range !== undefined) this.frozen?.streams.get(mem.name)?.forget(range);
  }

  /** From here on the log has records of this term. @returns what is wrong with that */
  beginTerm(term: Term): string | undefined {
    if (term < this.#term) return `falls from term ${this.#term} to ${term}`;
    this.#term = term;
    return undefined;
  }

  /**
   * Takes a record found in the log, `bytes[start, end)`; `recovered` follows. One that is flushed already is passed
   * over.
   * @returns what is wrong with it
   */
  recover(offset: Offset, bytes: Buffer, start: number, end: number, position: LogPosition): string | undefined {
    if (offset <= this.#durableThrough) return undefined;
    if (offset !== this.#nextOffset) return `goes on with offset ${offset}, but ${this.#nextOffset} is missing`;
    const term = recordTerm(bytes, start);
    if (term !== this.#term) {
      const fault = this.beginTerm(term);
      if (fault !== undefined) return fault;
    }
    this.active.record(offset, bytes, start, end, position);
    this.#durableThrough = offset;
    this.#nextOffset = (offset + 1) as Offset;
    return undefined;
  }

  /**
   * All records were taken: lets them take effect. One shard after another, and not record by record, since a log mixes
   * more streams than fit in a processor's cache.
   */
  recovered(streams: RecoveredStreams): void {
    const { active } = this;
    const operation = new Operation();
    active.forEachRecord((record, bytes, start, end) => {
      let at = start + RECORD_HEADER_BYTES;
      while (at < end) {
        const next = operation.read(bytes, at);
        const nameAt = operation.streamAt;
        const mem =
          streams.find(active, bytes, nameAt) ??
          streams.add(bytes, nameAt, this.#memNamed(operation.stream(), undefined));
        this.#recoverOperation(mem, operation, active.pointer(record, at - start));
        at = next;
      }
      if (at !== end) throw new RangeError(`operations end at byte ${at}, the record at ${end}`);
    });
  }

  #recoverOperation(mem: MemStream, operation: Operation, pointer: number): void {
    if (operation.kind === OP_ENTRY) mem.append(operation.seq, pointer);
    else if (operation.kind === OP_CELL) mem.setCell(operation.key(), pointer);
    else this.#applyRare(mem, operation, pointer);
  }

  #memOf(stream: StreamHandle): MemStream {
    const { mem } = stream;
    if (mem !== undefined && mem.table === this.active) return mem;
    const found = this.#memNamed(stream.name, stream.streamNo > 0 ? stream : undefined);
    stream.mem = found;
    stream.streamNo = found.streamNo;
    return found;
  }

  #memNamed(name: string, known: StreamHead | undefined): MemStream {
    let mem = this.active.streams.get(name);
    if (mem !== undefined) return mem;
    const head = known ?? this.head(name) ?? { streamNo: ++this.#streamCount, headSeq: NO_SEQ };
    mem = new MemStream(this.active, name, head);
    this.active.streams.set(name, mem);
    return mem;
  }

  // ---- flush, for the flusher alone

  get memtable(): Memtable {
    return this.active;
  }

  /** Of the oldest record that is not in segments yet. */
  get oldestPosition(): LogPosition | undefined {
    if (this.frozen) return this.frozen.firstPosition;
    return this.active.isEmpty ? undefined : this.active.firstPosition;
  }

  get isFlushing(): boolean {
    return this.frozen !== undefined;
  }

  freeze(): Memtable {
    const frozen = this.active;
    this.frozen = frozen;
    this.active = new Memtable(this.#slabs);
    return frozen;
  }

  /** How many flushes have ended. */
  get flushes(): number {
    return this.#flushes;
  }

  /** The frozen memtable is in the segments: forget it. */
  flushed(): void {
    this.frozen?.giveBack();
    this.frozen = undefined;
    this.#flushes++;
  }
}

const notOpen = (): Error => new Error("assertion failed: no record of this shard is being encoded");

/** An entry is without its end, an operation threw and the encoder went on, or bytes are of no operation. */
const notWhole = (): Error => new Error("assertion failed: a record has bytes that are no whole operation");
