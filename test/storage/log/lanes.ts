/**
 * What the second log of the tests writes to: a few *lanes*, each a list of records that only grows, kept elsewhere. A
 * shard has one lane, a lane has many shards, and anybody may append to it. Who owns a shard, and which records count,
 * is decided by the records alone, in the order of the lane, and everybody decides the same:
 *
 *     term     begins when it is higher than the shard's; its records are those of its owner from there on
 *     record   counts when it is of the shard's term and owner and its offset is the next; else it is dead, for ever
 *
 * It outlives every log over it. Not here: time, which the log over it draws.
 */
import { recordOffset, recordShard, recordTerm } from "../../../storage/encoding/record.ts";
import type { Offset, ShardId, Term } from "../../../storage/types.ts";

export const LANES = 3;
export const laneOf = (shard: ShardId): number => shard % LANES;

export type LaneItem =
  { kind: "term"; shard: ShardId; term: Term; owner: string } | { kind: "record"; owner: string; bytes: Buffer };

/** What the records up to a position say of a shard. */
export type ShardFold = { term: Term; owner: string; offset: Offset };

const NOBODY: ShardFold = { term: 0 as Term, owner: "", offset: 0 as Offset };

/** @returns whether the item counts */
export function foldItem(folds: Map<ShardId, ShardFold>, item: LaneItem): boolean {
  const shard = item.kind === "term" ? item.shard : recordShard(item.bytes, 0);
  const fold = folds.get(shard) ?? NOBODY;
  if (item.kind === "term") {
    if (item.term <= fold.term) return false;
    folds.set(shard, { ...fold, term: item.term, owner: item.owner });
    return true;
  }
  const offset = recordOffset(item.bytes, 0);
  if (recordTerm(item.bytes, 0) !== fold.term || item.owner !== fold.owner || offset !== fold.offset + 1) return false;
  folds.set(shard, { ...fold, offset });
  return true;
}

export class Lane {
  /** What was trimmed says of each shard. */
  readonly #trimmed = new Map<ShardId, ShardFold>();
  #items: LaneItem[] = [];
  /** Position of the item before the first that is left. Positions begin with 1. */
  #before = 0;

  get end(): number {
    return this.#before + this.#items.length;
  }

  get before(): number {
    return this.#before;
  }

  /** @returns position of the last of them */
  append(items: readonly LaneItem[]): number {
    this.#items.push(...items);
    return this.end;
  }

  /** Calls `visit` with each item that is left, in order, and whether it counts. @returns what they say of each shard */
  read(visit: (item: LaneItem, position: number, counts: boolean) => void): Map<ShardId, ShardFold> {
    const folds = new Map(this.#trimmed);
    this.#items.forEach((item, index) => visit(item, this.#before + 1 + index, foldItem(folds, item)));
    return folds;
  }

  trimBelow(position: number): void {
    const gone = this.#items.slice(0, Math.max(0, position - 1 - this.#before));
    for (const item of gone) foldItem(this.#trimmed, item);
    this.#items = this.#items.slice(gone.length);
    this.#before += gone.length;
  }
}

export class Lanes {
  readonly lanes = Array.from({ length: LANES }, () => new Lane());

  /** Another node takes the shard: whoever had it is fenced from here on. */
  take(shard: ShardId, owner: string): void {
    const lane = this.lanes[laneOf(shard)]!;
    const term = ((lane.read(() => {}).get(shard)?.term ?? 0) + 1) as Term;
    lane.append([{ kind: "term", shard, term, owner }]);
  }
}
