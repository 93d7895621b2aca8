/**
 * One shard as its owner uses it: append records, read what is durable.
 *
 * Reads merge three layers, newest first: the active memtable, the frozen one while it is being flushed, the segments. They see every record that
 * was committed before the call, and no other (G5).
 *
 * Invariants
 * - Offsets are dense; a record gets its offset when it is begun, takes effect when it is durable, both in the same order.
 * - `flushedThrough` < first offset of the frozen memtable <= ... < first offset of the active one.
 *
 * After a crash: whatever is durable and above `flushedThrough` is applied again by recovery, in the same order, to the same effect.
 */
import {
  beginEntry,
  beginRecord,
  decodeOperations,
  endEntry,
  endRecord,
  writeCell,
  writeErase,
  writeKey,
  writeNumbersCell,
  type ByteWriter,
} from "./record.ts";
import { isErased, type MemEntry, type MemErasure, MemStream, Memtable } from "./memtable.ts";
import type { SegmentStore, ShardExtent } from "./segment/types.ts";
import type { KeyHit, Offset, Seq, ShardId, StoredEntry, StreamHead, Term } from "./types.ts";
import { StagedRecord, type Outcome, type StagedOperation, type StreamHandle } from "./staged-record.ts";
import type { GroupCommit } from "./wal/group-commit.ts";

const NOTHING = new Uint8Array(0);

export class ShardLog {
  readonly shard: ShardId;
  readonly term: Term;
  readonly #commit: GroupCommit;
  readonly #segments: SegmentStore;
  readonly #onApplied: (log: ShardLog, recordBytes: number) => void;
  /** Whether it has records that are not in segments; the flusher's note. */
  isDirty = false;
  #active = new Memtable();
  #frozen: Memtable | undefined;
  #streamCount: number;
  #nextOffset: Offset;
  #durableThrough: Offset;
  #staged: StagedRecord | undefined;
  #stagedEntry: MemEntry | undefined;

  constructor(
    shard: ShardId,
    extent: ShardExtent,
    commit: GroupCommit,
    segments: SegmentStore,
    onApplied: (log: ShardLog, recordBytes: number) => void,
  ) {
    this.shard = shard;
    this.term = (extent.term || 1) as Term;
    this.#commit = commit;
    this.#segments = segments;
    this.#onApplied = onApplied;
    this.#streamCount = extent.streamCount;
    this.#durableThrough = extent.flushedThrough;
    this.#nextOffset = (extent.flushedThrough + 1) as Offset;
  }

  /** Highest offset that has taken effect. */
  get durableThrough(): Offset {
    return this.#durableThrough;
  }

  // ---- append

  /** Where the payload of a begun entry goes. */
  get writer(): ByteWriter {
    return this.#commit.out;
  }

  /** Begins a record and returns where payloads are written. Everything up to `end` happens in one turn of the event loop. */
  begin(): ByteWriter {
    const { out } = this.#commit;
    const offset = this.#nextOffset;
    this.#nextOffset = (offset + 1) as Offset;
    this.#staged = new StagedRecord(this, offset, beginRecord(out, this.shard, this.term, offset));
    return out;
  }

  /** The caller writes the payload to the writer next, at most `payloadBytesMax`, then calls `endEntry`. */
  beginEntry(stream: StreamHandle, lane: string, key: string, seq: Seq, payloadBytesMax: number): void {
    const start = beginEntry(this.#commit.out, stream.name, lane, key, seq, payloadBytesMax);
    const staged = this.#staged!;
    const entry: MemEntry = { seq, offset: staged.offset, lane, key, start, length: 0 };
    this.#stagedEntry = entry;
    staged.add({ kind: "entry", stream, entry });
  }

  endEntry(): void {
    const { out } = this.#commit;
    const entry = this.#stagedEntry!;
    endEntry(out, entry.start);
    entry.length = out.pos - entry.start;
  }

  putCell(stream: StreamHandle, key: string, value: Uint8Array | null): void {
    const { out } = this.#commit;
    writeCell(out, stream.name, key, value);
    this.#stageCell(stream, key, value === null ? -1 : out.pos - value.length, value?.length ?? 0);
  }

  /** A cell of one or two numbers of at most 53 bits, encoded where it is written from. */
  putNumbers(stream: StreamHandle, key: string, first: number, second?: number): void {
    const { out } = this.#commit;
    const length = writeNumbersCell(out, stream.name, key, first, second);
    this.#stageCell(stream, key, out.pos - length, length);
  }

  #stageCell(stream: StreamHandle, key: string, start: number, length: number): void {
    this.#staged!.add({ kind: "cell", stream, key, cell: { start, length } });
  }

  /** Sets a key that belongs to no entry of this stream. */
  putKey(stream: StreamHandle, key: string, seq: Seq, value: Uint8Array): void {
    const { out } = this.#commit;
    writeKey(out, stream.name, key, seq, value);
    this.#staged!.add({ kind: "key", stream, key, seq, start: out.pos - value.length, length: value.length });
  }

  /**
   * Makes entries of the stream tombstones, of one lane or of all: seq, offset and lane stay, key and payload are gone, from what is read once the record is
   * durable, from the files once `LogStore.eraseNow` has resolved. Entries that come later are not meant, whatever `toSeq` says.
   */
  erase(stream: StreamHandle, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void {
    writeErase(this.#commit.out, stream.name, lane, fromSeq, toSeq);
    this.#staged!.add({ kind: "erase", stream, lane, fromSeq, toSeq });
  }

  end(outcome: Outcome | undefined): void {
    const staged = this.#staged!;
    this.#staged = undefined;
    endRecord(this.#commit.out, staged.start);
    staged.end = this.#commit.out.pos;
    staged.outcome = outcome;
    this.#commit.push(staged);
  }

  // ---- apply

  /** Lets a durable record take effect. For the group commit alone. */
  apply(record: StagedRecord, bytes: Buffer, fileNo: number): void {
    const shift = this.#active.record(record.offset, bytes, record.start, record.end, fileNo);
    this.#durableThrough = record.offset;
    if (record.first !== undefined) this.#applyOperation(record.first, shift);
    if (record.more !== undefined) for (const operation of record.more) this.#applyOperation(operation, shift);
    this.#onApplied(this, record.end - record.start);
  }

  #applyOperation(operation: StagedOperation, shift: number): void {
    const { stream } = operation;
    const mem = this.#memOf(stream);
    switch (operation.kind) {
      case "entry":
        operation.entry.start += shift;
        mem.append(operation.entry);
        stream.headSeq = operation.entry.seq;
        return;
      case "cell":
        if (operation.cell.start >= 0) operation.cell.start += shift;
        mem.cells.set(operation.key, operation.cell);
        return;
      case "key":
        mem.setKey(operation.key, {
          seq: operation.seq,
          value: this.#active.view(operation.start + shift, operation.length),
        });
        return;
      case "erase":
        this.#erase(mem, operation.lane, operation.fromSeq, operation.toSeq);
    }
  }

  /** Applies a record found in the log at start. @returns false when its offset is not the next. */
  recover(offset: Offset, bytes: Buffer, start: number, opsAt: number, end: number, fileNo: number): boolean {
    if (offset <= this.#durableThrough) return true;
    if (offset !== this.#nextOffset) return false;
    const shift = this.#active.record(offset, bytes, start, end, fileNo);
    this.#durableThrough = offset;
    this.#nextOffset = (offset + 1) as Offset;
    decodeOperations(bytes, opsAt, end, {
      entry: (stream, lane, key, seq, at, length) =>
        this.#memNamed(stream).append({ seq, offset, lane, key, start: at + shift, length }),
      cell: (stream, key, at, length) =>
        void this.#memNamed(stream).cells.set(key, { start: at < 0 ? -1 : at + shift, length }),
      key: (stream, key, seq, at, length) =>
        this.#memNamed(stream).setKey(key, { seq, value: this.#active.view(at + shift, length) }),
      erase: (stream, lane, fromSeq, toSeq) => this.#erase(this.#memNamed(stream), lane, fromSeq, toSeq),
    });
    return true;
  }

  /** The frozen memtable was handed to the flush as it was; there only its readers are to see nothing any more. */
  #erase(mem: MemStream, lane: string | undefined, fromSeq: Seq, toSeq: Seq): void {
    const before = mem.erasures.length;
    mem.erase(lane, fromSeq, toSeq);
    for (const range of mem.erasures.slice(before)) this.#frozen?.streams.get(mem.name)?.forget(range);
  }

  #memOf(stream: StreamHandle): MemStream {
    const { mem } = stream;
    if (mem !== undefined && mem.table === this.#active) return mem;
    const found = this.#memNamed(stream.name, stream.streamNo > 0 ? stream : undefined);
    stream.mem = found;
    stream.streamNo = found.streamNo;
    return found;
  }

  #memNamed(name: string, known?: StreamHead): MemStream {
    let mem = this.#active.streams.get(name);
    if (mem !== undefined) return mem;
    const head = known ?? this.head(name) ?? { streamNo: ++this.#streamCount, headSeq: 0 as Seq };
    mem = new MemStream(this.#active, name, head);
    this.#active.streams.set(name, mem);
    return mem;
  }

  // ---- flush, for the flusher alone

  get memtable(): Memtable {
    return this.#active;
  }

  /** Log file of the oldest record that is not in segments yet. */
  get oldestFileNo(): number | undefined {
    if (this.#frozen) return this.#frozen.firstFileNo;
    return this.#active.isEmpty ? undefined : this.#active.firstFileNo;
  }

  get isFlushing(): boolean {
    return this.#frozen !== undefined;
  }

  freeze(): Memtable {
    const frozen = this.#active;
    this.#frozen = frozen;
    this.#active = new Memtable();
    return frozen;
  }

  /** The frozen memtable is in the segments: forget it. */
  flushed(): void {
    this.#frozen = undefined;
  }

  // ---- read

  head(stream: string): StreamHead | undefined {
    return (
      this.#active.streams.get(stream) ?? this.#frozen?.streams.get(stream) ?? this.#segments.head(this.shard, stream)
    );
  }

  streamName(streamNo: number): string | undefined {
    for (const table of [this.#active, this.#frozen]) {
      if (table) for (const stream of table.streams.values()) if (stream.streamNo === streamNo) return stream.name;
    }
    return this.#segments.streamName(this.shard, streamNo);
  }

  /** The name of every stream, in order of first appearance. */
  *streams(): Iterable<string> {
    for (let no = 1; no <= this.#streamCount; no++) {
      const name = this.streamName(no);
      if (name !== undefined) yield name;
    }
  }

  cell(stream: string, key: string): Uint8Array | undefined {
    for (const mem of this.#memStreams(stream)) {
      const cell = mem.cells.get(key);
      if (cell !== undefined) return mem.cellValue(cell);
    }
    return this.#segments.cell(this.shard, stream, key);
  }

  cells(stream: string): Map<string, Uint8Array> {
    const cells = this.#segments.cells(this.shard, stream);
    for (const mem of this.#memStreams(stream).reverse()) {
      for (const [key, cell] of mem.cells) {
        const value = mem.cellValue(cell);
        if (value === undefined) cells.delete(key);
        else cells.set(key, value);
      }
    }
    return cells;
  }

  findKey(stream: string, key: string): KeyHit | undefined {
    for (const mem of this.#memStreams(stream)) {
      const hit = mem.findKey(key);
      if (hit) return hit;
    }
    const hit = this.#segments.findKey(this.shard, stream, key);
    if (hit === undefined || hit.value !== null || this.#erasures(stream).length === 0) return hit;
    const [entry] = this.#flushedForward(stream, (hit.seq - 1) as Seq, 1);
    return entry?.key === key ? hit : undefined;
  }

  /** Entries with `seq > after`, rising, at most `limit`. */
  readForward(stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#forward(stream, after, limit, undefined, () => this.#flushedForward(stream, after, limit));
  }

  /** Entries of one lane with `seq > after`, rising, at most `limit`. */
  readLaneForward(stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    return this.#forward(stream, after, limit, lane, () =>
      this.#withoutErased(stream, this.#segments.readLaneForward(this.shard, stream, lane, after, limit)),
    );
  }

  #forward(
    stream: string,
    after: Seq,
    limit: number,
    lane: string | undefined,
    fromSegments: () => StoredEntry[],
  ): StoredEntry[] {
    const mems = this.#memStreams(stream).reverse();
    const oldest = mems.find((mem) => mem.entries.length > 0)?.entries[0];
    const isInMemory = oldest !== undefined && oldest.seq <= after + 1;
    const found = isInMemory ? [] : fromSegments();
    for (const mem of mems) {
      const { entries } = mem;
      // A flush may be on disk while its memtable is still here: go on where the segments ended.
      const from = found[found.length - 1]?.seq ?? after;
      for (let i = mem.indexAfter(from); i < entries.length && found.length < limit; i++) {
        const entry = entries[i]!;
        if (lane === undefined || entry.lane === lane) found.push(mem.stored(entry));
      }
    }
    return found;
  }

  /** Entries of one lane with `seq < before`, the newest `limit` of them, rising. */
  readLaneBackward(stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    const found: StoredEntry[] = [];
    let beforeMemory = before;
    for (const mem of this.#memStreams(stream)) {
      const { entries } = mem;
      beforeMemory = Math.min(beforeMemory, entries[0]?.seq ?? before) as Seq;
      for (let i = mem.indexAfter((before - 1) as Seq) - 1; i >= 0 && found.length < limit; i--) {
        const entry = entries[i]!;
        if (entry.lane === lane) found.push(mem.stored(entry));
      }
      if (mem.entries[0]?.seq === 1) return found.reverse();
    }
    found.reverse();
    if (found.length === limit) return found;
    const older = this.#segments.readLaneBackward(this.shard, stream, lane, beforeMemory, limit - found.length);
    return [...this.#withoutErased(stream, older), ...found];
  }

  #flushedForward(stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#withoutErased(stream, this.#segments.readForward(this.shard, stream, after, limit));
  }

  /** Flushed entries as they are by now: an erasure may be in memory still. */
  #withoutErased(stream: string, entries: StoredEntry[]): StoredEntry[] {
    const erasures = this.#erasures(stream);
    if (erasures.length === 0) return entries;
    return entries.map((entry) => {
      return isErased(erasures, entry.lane, entry.seq) ? { ...entry, key: "", payload: NOTHING } : entry;
    });
  }

  #erasures(stream: string): MemErasure[] {
    return this.#memStreams(stream).flatMap((mem) => mem.erasures);
  }

  /** Streams with an entry above `offset`, and the lowest such seq of each. */
  streamsSince(offset: Offset): { stream: string; fromSeq: Seq }[] {
    const since = new Map(
      this.#segments.streamsSince(this.shard, offset).map((found) => [found.stream, found.fromSeq]),
    );
    for (const table of [this.#frozen, this.#active]) {
      if (!table) continue;
      for (const { name, entries } of table.streams.values()) {
        const first = entries.find((entry) => entry.offset > offset);
        if (first && !since.has(name)) since.set(name, first.seq);
      }
    }
    return [...since].map(([stream, fromSeq]) => ({ stream, fromSeq }));
  }

  /** The stream's parts in memory, newest first. */
  #memStreams(stream: string): MemStream[] {
    const active = this.#active.streams.get(stream);
    const frozen = this.#frozen?.streams.get(stream);
    if (active && frozen) return [active, frozen];
    if (active) return [active];
    return frozen ? [frozen] : [];
  }
}
