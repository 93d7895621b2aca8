/**
 * The words of the log store. It knows shards, streams, entries and cells; what is inside a payload or a cell is its
 * user's business.
 *
 * A *shard* has one log of records. A record is a list of operations that take effect together: an *entry* appended to
 * a stream of that shard, or a *cell* of a stream set or cleared. Everything the store can answer is a fold over those
 * records in offset order.
 */

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Logical shard, 0–999. */
export type ShardId = Brand<number, "ShardId">;
/** Position of a record in its shard's log: dense, from 1. 0 means "nothing yet". */
export type Offset = Brand<number, "Offset">;
/** Counter of a shard's ownership, from 1. */
export type Term = Brand<number, "Term">;
/** Position of an entry in its stream: dense, from 1. 0 means "nothing yet". */
export type Seq = Brand<number, "Seq">;

/**
 * Where a record stands in the log. What it means is the log's own business (log/commit-log.ts): a file number, an
 * offset. Of one shard, a later record never has a lower one. 0 means "nowhere".
 */
export type LogPosition = Brand<number, "LogPosition">;

export const SHARD_COUNT = 1000;
export const ALL_SHARDS: readonly ShardId[] = Array.from({ length: SHARD_COUNT }, (_, shard) => shard as ShardId);

/** An entry as it is read back. `payload` is a view: do not change it, copy it to keep it. */
export type StoredEntry = {
  seq: Seq;
  /** Offset of the record that appended it. */
  offset: Offset;
  /**
   * Sub-sequence of the stream that can be read by itself (a conversation in a timeline); "" when the stream has none.
   */
  lane: string;
  /** Unique key of the entry inside its stream, "" for none. Found again with `findKey`. */
  key: string;
  payload: Uint8Array;
};

/**
 * What `findKey` finds: where a key points. A key belongs to an entry of this stream, or was set alone and points
 * elsewhere (`value`).
 */
export type KeyHit = { seq: Seq; value: Uint8Array | null };

/**
 * Head and numeric name of a stream. `streamNo` is dense per shard, in order of first appearance in the log, so every
 * replica agrees.
 */
export type StreamHead = { streamNo: number; headSeq: Seq };

/** Where a stream stood in one moment, and its cells then. */
export type StreamSnapshot = {
  head: StreamHead;
  cell(name: string): Uint8Array | undefined;
  /**
   * Each name once. Decoded as they are gone through, from memory alone, so that it can be done in several turns of the
   * event loop.
   */
  cells(): Iterable<[name: string, value: Uint8Array]>;
};

/** Entries of a stream, `fromSeq` to `toSeq`, of one lane or of all. */
export type EraseRange = { stream: string; lane?: string | undefined; fromSeq: number; toSeq: number };
