/**
 * What was saved of one damaged shard, gathered from all places that have something of it, in any order.
 *
 * Invariants
 * - Only what has passed its checksum comes here.
 * - A tombstone wins over what the entry said: it was erased since, and must not come back.
 * - Of a key that was set twice the first counts, of a cell the last: callers add cells from the oldest place to the
 *   newest.
 * - Seqs of a stream stay dense: where an entry is lost a tombstone takes its place.
 */
import type { Offset, Seq, ShardId } from "../../types.ts";

export type SavedEntry = { offset: number; lane: string; key: string; payload: Uint8Array };

/** A key that was set without an entry. `offset` 0: not known. */
export type SavedKey = { seq: number; value: Uint8Array; offset: number };

/** Lost entries `from` to `to`, and the lane they were in, where that is known. */
export type LostRange = { from: number; to: number; lane: string | undefined };

const NOTHING = new Uint8Array(0);

const isTombstone = ({ key, payload }: SavedEntry): boolean => key === "" && payload.length === 0;

export class StreamContents {
  readonly name: string;
  /** 0 while nobody has said. */
  streamNo = 0;
  /** The newest entry that is known to have been there. */
  headSeq = 0;
  readonly entries = new Map<number, SavedEntry>();
  readonly keys = new Map<string, SavedKey>();
  readonly cells = new Map<string, Uint8Array | null>();
  /** Lanes of entries, also of lost ones, as the directory has them. */
  readonly laneOf = new Map<number, string>();
  /** Keys of entries, as the index has them: some may be of lost ones. */
  readonly keyAt = new Map<number, string>();

  constructor(name: string) {
    this.name = name;
  }

  put(seq: number, entry: SavedEntry): void {
    this.headSeq = Math.max(this.headSeq, seq);
    const known = this.entries.get(seq);
    if (known === undefined || (isTombstone(entry) && !isTombstone(known))) this.entries.set(seq, entry);
  }

  /** Entries in the range that came before `beforeOffset` say nothing any more. */
  erase(from: number, to: number, lane: string | undefined, beforeOffset = Number.POSITIVE_INFINITY): void {
    const isMeant = (entry: SavedEntry): boolean =>
      entry.offset < beforeOffset && (lane === undefined || entry.lane === lane) && !isTombstone(entry);
    const erase = (seq: number, entry: SavedEntry | undefined): void => {
      if (entry !== undefined && isMeant(entry)) this.entries.set(seq, { ...entry, key: "", payload: NOTHING });
    };
    if (to - from < this.entries.size) for (let seq = from; seq <= to; seq++) erase(seq, this.entries.get(seq));
    else for (const [seq, entry] of this.entries) if (seq >= from && seq <= to) erase(seq, entry);
  }

  /** Takes over what was gathered under another name. */
  join(other: StreamContents): void {
    for (const [seq, entry] of other.entries) this.put(seq, entry);
    for (const [key, hit] of other.keys) this.putKey(key, hit);
    for (const [key, value] of other.cells) this.cells.set(key, value);
    for (const [seq, lane] of other.laneOf) this.laneOf.set(seq, lane);
    for (const [seq, key] of other.keyAt) this.keyAt.set(seq, key);
    this.headSeq = Math.max(this.headSeq, other.headSeq);
  }

  putKey(key: string, hit: SavedKey): void {
    if (!this.keys.has(key)) this.keys.set(key, hit);
  }

  /** Fills the places of lost entries with tombstones. @param laneOfLost where nothing tells */
  fill(laneOfLost: string): LostRange[] {
    const lost: LostRange[] = [];
    let offset = 1;
    for (let seq = 1; seq <= this.headSeq; seq++) {
      const entry = this.entries.get(seq);
      if (entry !== undefined) {
        offset = Math.max(offset, entry.offset);
        continue;
      }
      const lane = this.laneOf.get(seq);
      this.entries.set(seq, { offset, lane: lane ?? laneOfLost, key: "", payload: NOTHING });
      const last = lost.at(-1);
      if (last !== undefined && last.to === seq - 1 && last.lane === lane) last.to = seq;
      else lost.push({ from: seq, to: seq, lane });
    }
    return lost;
  }
}

export class ShardContents {
  readonly shard: ShardId;
  term = 0;
  /** The newest offset that is known to have been given. */
  through = 0 as Offset;
  /** How many streams there were, as rows say. */
  streamCount = 0;
  readonly streams = new Map<string, StreamContents>();
  /** What is known to be missing, for people. */
  readonly missing: string[] = [];
  /** Entries behind the newest that is known may be lost, and cells may be older than they were. */
  mayLackNewest = false;
  /** Ranges that were to be erased are lost, and what they meant may be there again. */
  mayShowErased = false;
  readonly #names = new Map<number, string>();

  constructor(shard: ShardId) {
    this.shard = shard;
  }

  reached(offset: number): void {
    if (offset > this.through) this.through = offset as Offset;
  }

  stream(name: string): StreamContents {
    let stream = this.streams.get(name);
    if (stream === undefined) this.streams.set(name, (stream = new StreamContents(name)));
    return stream;
  }

  /** @returns the stream of that name, which has this number; with what was found before its name was known */
  numbered(name: string, streamNo: number): StreamContents {
    const before = this.#names.get(streamNo);
    const stream = this.stream(name);
    stream.streamNo = streamNo;
    this.#names.set(streamNo, name);
    if (before !== undefined && before !== name && isLostName(before)) {
      stream.join(this.stream(before));
      this.streams.delete(before);
    }
    this.streamCount = Math.max(this.streamCount, streamNo);
    return stream;
  }

  /** One whose name nobody knows any more keeps what it has under a name that no user can have. */
  byNumber(streamNo: number): StreamContents {
    const name = this.#names.get(streamNo);
    return name === undefined ? this.numbered(lostName(streamNo), streamNo) : this.stream(name);
  }

  /** All of them, with dense numbers. Those of the log alone get theirs by first appearance, as recovery gives them. */
  inOrder(): StreamContents[] {
    for (let streamNo = 1; streamNo <= this.streamCount; streamNo++) this.byNumber(streamNo);
    for (const stream of this.streams.values())
      if (stream.streamNo === 0) this.numbered(stream.name, this.streamCount + 1);
    return [...this.streams.values()].toSorted((a, b) => a.streamNo - b.streamNo);
  }
}

const lostName = (streamNo: number): string => `$lost-${streamNo}`;

export const isLostName = (name: string): boolean => name.startsWith("$lost-");

export const asSeq = (seq: number): Seq => seq as Seq;
