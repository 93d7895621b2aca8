/** The segment side in memory, as `storage/files/segment-store.ts` promises it: for tests of the log that need thousands of recoveries. */
import { decodeOperations, readRecordHeader, type OperationVisitor } from "../../../storage/encoding/record.ts";
import { counterBehind, isCountedPrefix } from "../../../storage/encoding/counted-key.ts";
import type {
  CompactReport,
  EraseRange,
  FlushJob,
  OnDamage,
  SegmentStore,
  ShardReach,
} from "../../../storage/files/segment-store.ts";
import type {
  KeyHit,
  Offset,
  Seq,
  ShardId,
  StoredEntry,
  StreamHead,
  StreamSnapshot,
  Term,
} from "../../../storage/types.ts";

type Stream = { head: StreamHead; entries: StoredEntry[]; keys: Map<string, KeyHit>; cells: Map<string, Uint8Array> };
type Shard = ShardReach & { streams: Map<string, Stream> };

const NOTHING: ShardReach = { flushedThrough: 0 as Offset, term: 0 as Term, streamCount: 0 };

export class MemorySegments implements SegmentStore {
  /** Every job that took effect, in order: what is on the disk of segments. */
  readonly flushed: FlushJob[] = [];
  /** The next flush is told to have failed. */
  failNextFlush: Error | undefined;
  /** Asked before a flush takes effect; a flush waits for it. */
  beforeFlush: (job: FlushJob) => Promise<void> = async () => {};
  readonly #shards = new Map<ShardId, Shard>();

  static of(jobs: readonly FlushJob[]): MemorySegments {
    const segments = new MemorySegments();
    for (const job of jobs) segments.#apply(job);
    return segments;
  }

  /** Whom it tells of damage. */
  onDamage: OnDamage = () => {};

  mustBeUnused = (): void => {};
  begin = (_isNew: boolean, onDamage?: OnDamage): void => void (this.onDamage = onDamage ?? this.onDamage);
  within = <T>(_shard: ShardId, ask: () => T): T => ask();
  snapshot(shard: ShardId, name: string): StreamSnapshot | undefined {
    const stream = this.#stream(shard, name);
    if (stream === undefined) return undefined;
    const { head, cells } = stream;
    return { head: { ...head }, cell: (key) => cells.get(key), cells: () => new Map(cells) };
  }

  reach = (shard: ShardId): ShardReach => this.#shards.get(shard) ?? NOTHING;
  head = (shard: ShardId, stream: string): StreamHead | undefined => this.#stream(shard, stream)?.head;
  cell = (shard: ShardId, stream: string, key: string): Uint8Array | undefined =>
    this.#stream(shard, stream)?.cells.get(key);
  cells = (shard: ShardId, stream: string): Map<string, Uint8Array> => new Map(this.#stream(shard, stream)?.cells);
  findKey = (shard: ShardId, stream: string, key: string): KeyHit | undefined =>
    this.#stream(shard, stream)?.keys.get(key);

  /** As if all of it were placed: whole keys alone are found where the prefix ends in a letter. */
  highestCounter(shard: ShardId, stream: string, prefix: string): number | undefined {
    const keys = [...(this.#stream(shard, stream)?.keys.keys() ?? [])];
    if (keys.length > 0 && !isCountedPrefix(prefix)) return undefined;
    return Math.max(-1, ...keys.map((key) => counterBehind(prefix, key)));
  }

  streamNames = (shard: ShardId): string[] => [...(this.#shards.get(shard)?.streams.keys() ?? [])];

  streamName(shard: ShardId, streamNo: number): string | undefined {
    for (const [name, { head }] of this.#shards.get(shard)?.streams ?? []) if (head.streamNo === streamNo) return name;
    return undefined;
  }

  readForward(shard: ShardId, stream: string, after: Seq, limit: number): StoredEntry[] {
    return this.#entries(shard, stream)
      .filter((entry) => entry.seq > after)
      .slice(0, limit);
  }

  readLaneForward(shard: ShardId, stream: string, lane: string, after: Seq, limit: number): StoredEntry[] {
    return this.#entries(shard, stream)
      .filter((entry) => entry.lane === lane && entry.seq > after)
      .slice(0, limit);
  }

  readLaneBackward(shard: ShardId, stream: string, lane: string, before: Seq, limit: number): StoredEntry[] {
    if (limit <= 0) return [];
    return this.#entries(shard, stream)
      .filter((entry) => entry.lane === lane && entry.seq < before)
      .slice(-limit);
  }

  streamsSince(shard: ShardId, offset: Offset): { stream: string; fromSeq: Seq }[] {
    const found: { stream: string; fromSeq: Seq }[] = [];
    for (const [stream, { entries }] of this.#shards.get(shard)?.streams ?? []) {
      const first = entries.find((entry) => entry.offset > offset);
      if (first !== undefined) found.push({ stream, fromSeq: first.seq });
    }
    return found;
  }

  async flush(job: FlushJob): Promise<void> {
    await this.beforeFlush(job);
    const failure = this.failNextFlush;
    this.failNextFlush = undefined;
    if (failure !== undefined) throw failure;
    this.#apply(job);
  }

  async erase(shard: ShardId, ranges: EraseRange[]): Promise<void> {
    for (const range of ranges) {
      const stream = this.#stream(shard, range.stream);
      if (stream !== undefined) erase(stream, range);
    }
  }

  pendingErasures = (): ShardId[] => [];
  compact = async (): Promise<CompactReport> => ({ filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 });
  spill = async (): Promise<void> => {};
  letGo = async (): Promise<void> => {};

  async close(): Promise<void> {}

  #stream(shard: ShardId, stream: string): Stream | undefined {
    return this.#shards.get(shard)?.streams.get(stream);
  }

  #entries(shard: ShardId, stream: string): StoredEntry[] {
    return this.#stream(shard, stream)?.entries ?? [];
  }

  #apply(job: FlushJob): void {
    // Its memory is used again.
    this.flushed.push({ ...job, image: job.image.map((part) => new Uint8Array(part)) });
    const shard: Shard = this.#shards.get(job.shard) ?? { ...NOTHING, streams: new Map() };
    this.#shards.set(job.shard, shard);
    for (const { name, streamNo, headSeq } of job.streams) {
      const stream = shard.streams.get(name) ?? {
        head: { streamNo, headSeq },
        entries: [],
        keys: new Map(),
        cells: new Map(),
      };
      stream.head = { streamNo, headSeq };
      shard.streams.set(name, stream);
    }
    for (const part of job.image) {
      const bytes = Buffer.from(part);
      for (let at = 0; at < bytes.length;) at = applyRecord(shard, bytes, at);
    }
    const cells = Buffer.from(job.checkpoint);
    decodeOperations(cells, 0, cells.length, operationsOn(shard, cells, job.throughOffset));
    shard.flushedThrough = job.throughOffset;
    if (job.throughPosition !== undefined) shard.flushedPosition = job.throughPosition;
    shard.term = job.term;
    shard.streamCount = shard.streams.size;
  }
}

function applyRecord(shard: Shard, bytes: Buffer, at: number): number {
  const { offset, opsAt, end } = readRecordHeader(bytes, at);
  decodeOperations(bytes, opsAt, end, operationsOn(shard, bytes, offset));
  return end;
}

function operationsOn(shard: Shard, bytes: Buffer, offset: Offset): OperationVisitor {
  const copy = (start: number, length: number): Uint8Array => new Uint8Array(bytes.subarray(start, start + length));
  return {
    entry(stream, lane, key, seq, start, length) {
      const { entries, keys } = shard.streams.get(stream)!;
      entries.push({ seq, offset, lane, key, payload: copy(start, length) });
      if (key !== "") keys.set(key, { seq, value: null });
    },
    cell(stream, key, start, length) {
      const { cells } = shard.streams.get(stream)!;
      if (start < 0) cells.delete(key);
      else cells.set(key, copy(start, length));
    },
    key: (stream, key, seq, start, length) =>
      void shard.streams.get(stream)!.keys.set(key, { seq, value: copy(start, length) }),
    erase: (stream, lane, fromSeq, toSeq) => erase(shard.streams.get(stream)!, { lane, fromSeq, toSeq }),
  };
}

function erase(stream: Stream, { lane, fromSeq, toSeq }: Omit<EraseRange, "stream">): void {
  stream.entries = stream.entries.map((entry) => {
    if (entry.seq < fromSeq || entry.seq > toSeq || (lane !== undefined && entry.lane !== lane)) return entry;
    stream.keys.delete(entry.key);
    return { ...entry, key: "", payload: new Uint8Array(0) };
  });
}
