/**
 * What the segment side of the log store promises to the store above it: flushed entries, cells and keys of each shard,
 * in SQLite.
 */
import type { CorruptionError } from "../errors.ts";
import type {
  EraseRange,
  KeyHit,
  LogPosition,
  Offset,
  Seq,
  ShardId,
  StoredEntry,
  StreamHead,
  StreamSnapshot,
  Term,
} from "../types.ts";

export type { EraseRange };

/** A frozen memtable on its way to disk. Everything in it takes effect at once or not at all. */
export type FlushJob = {
  shard: ShardId;
  /** Of the last record in `image`. */
  term: Term;
  /** Offset of the last record in `image`; becomes the shard's `flushedThrough`. */
  throughOffset: Offset;
  /** Where that record stands in the log, see `ShardReach`; absent when it comes from none. */
  throughPosition?: LogPosition;
  /**
   * Records of this shard as `storage/encoding/record.ts` encodes them, offsets rising from `flushedThrough + 1`, in
   * parts of whole records. Parts in shared memory are not copied: nothing may change them before the flush has
   * succeeded. Nothing may read them afterwards.
   */
  image: readonly Uint8Array[];
  /** Cell operations (no record header) derived by folding up to `throughOffset`; they win over cells of `image`. */
  checkpoint: Uint8Array<ArrayBuffer>;
  /** Head of every stream that `image` or `checkpoint` touches. */
  streams: { name: string; streamNo: number; headSeq: Seq }[];
};

/**
 * How far a shard's files reach. `flushedPosition` is where the log has the record of `flushedThrough`, so that
 * recovery can begin there. It may be that of an earlier record, and is absent where nobody has kept it: in directories
 * of the local log, which reads all that it has.
 */
export type ShardReach = {
  flushedThrough: Offset;
  flushedPosition?: LogPosition;
  term: Term;
  streamCount: number;
};

/** Bytes that were gone through, of those that will be: of layers at once, then of segment files. */
export type Progress = (done: number, total: number) => void;

export type CompactOptions = {
  /** zstd level, 1 to 19. Default 9. */
  level?: number;
  onProgress?: Progress;
};

/** Segment files before and after; bytes of those and of layers. */
export type CompactReport = { filesBefore: number; filesAfter: number; bytesBefore: number; bytesAfter: number };

export type OnDamage = (shard: ShardId, error: CorruptionError) => void;

/**
 * Reads see everything flushed before the call and nothing half-flushed. All reads are synchronous and open files at
 * need (bounded).
 */
export type SegmentStore = {
  /**
   * Where there is no log.
   * @throws CorruptionError when there was one: `recent.db` is made behind the log's first file
   */
  mustBeUnused(): void;
  /**
   * Before anything is asked.
   * @param isNew whether nothing was ever written to the log: then `recent.db` is made, behind the log's first file,
   * else it must be there, and what it says of each shard is looked at
   * @param onDamage called with each damage that is met from now on, and its shard. What it throws, the read that met
   * the damage throws
   * @throws CorruptionError when `recent.db` itself, which is all shards', cannot be read
   */
  begin(isNew: boolean, onDamage?: OnDamage): void;
  reach(shard: ShardId): ShardReach;
  /**
   * All that `ask` reads, of this shard alone, is of one moment: its files are opened and looked at once and not for
   * each question. `ask` returns in the same turn of the event loop.
   */
  within<T>(shard: ShardId, ask: () => T): T;
  head(shard: ShardId, stream: string): StreamHead | undefined;
  streamName(shard: ShardId, streamNo: number): string | undefined;
  /** Names of all streams, in no order that means anything. */
  streamNames(shard: ShardId): string[];
  cell(shard: ShardId, stream: string, name: string): Uint8Array | undefined;
  /** Undefined when nothing of the stream was flushed. */
  snapshot(shard: ShardId, stream: string): StreamSnapshot | undefined;
  /** All cells of a stream, by name. */
  cells(shard: ShardId, stream: string): Map<string, Uint8Array>;
  /** Entries with `seq > after`, rising, at most `limit`. */
  readForward(shard: ShardId, stream: string, after: Seq, limit: number): StoredEntry[];
  /** Entries of one lane with `seq > after`, rising, at most `limit`. */
  readLaneForward(shard: ShardId, stream: string, lane: string, after: Seq, limit: number): StoredEntry[];
  /** Entries of one lane with `seq < before`, the newest `limit` of them, rising. */
  readLaneBackward(shard: ShardId, stream: string, lane: string, before: Seq, limit: number): StoredEntry[];
  findKey(shard: ShardId, stream: string, key: string): KeyHit | undefined;
  /**
   * The highest counter of the keys that are `prefix` and a plain number (encoding/counted-key.ts); -1 when there is
   * none. Keys of erased entries may count. Undefined when only whole keys can be found: those of a prefix that ends in
   * a letter, once entries of the stream are placed.
   */
  highestCounter(shard: ShardId, stream: string, prefix: string): number | undefined;
  /** Streams of the shard with an entry whose offset is above `offset`, and the lowest such seq of each. */
  streamsSince(shard: ShardId, offset: Offset): { stream: string; fromSeq: Seq }[];
  /** Runs in the worker thread; rejects when nothing of the job took effect. Jobs of one shard must not overlap. */
  flush(job: FlushJob): Promise<void>;
  /**
   * Makes flushed entries tombstones: seq, offset and lane stay, key and payload are gone, from what is read at once
   * and, when the promise resolves, from every file. Erasures that came with flushes are finished as well. May be
   * repeated when it fails.
   */
  erase(shard: ShardId, ranges: EraseRange[], onProgress?: Progress): Promise<void>;
  /**
   * Shards with erased entries that are still in segment files, be it from before a restart. `erase(shard, [])`
   * finishes them.
   */
  pendingErasures(): ShardId[];
  /** Packs what flushes left behind tighter, into fewer files. Nothing that is read changes. */
  compact(shard: ShardId, options?: CompactOptions): Promise<CompactReport>;
  /**
   * Moves what `recent.db` has of the shard to the shard's own files: they are all of it then, until the next flush.
   */
  spill(shard: ShardId): Promise<void>;
  /**
   * Moves what `recent.db` has of the shard to the shard's own files, closes them, and forgets what is known of them: so
   * other files can take their place. Nothing may be asked of the shard until then.
   */
  letGo(shard: ShardId): Promise<void>;
  /** Ends the worker and closes every file. What erases and compacts is cut short. */
  close(): Promise<void>;
};
