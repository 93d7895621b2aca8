/** Ranges of entries that are to be tombstones. */
import type { SqlDatabase } from "../sqlite/database.ts";
import { erasuresOf, laneAt } from "./state-reader.ts";
import type { ErasureRow } from "./state-file.ts";
import { isTombstone, type Item, tombstone } from "../../encoding/run.ts";

/** A range in the numbers of its shard; lane 0 is every lane. */
export type NumberedRange = Pick<ErasureRow, "lane" | "from_seq" | "to_seq">;

export function covers(ranges: readonly NumberedRange[], lane: number, seq: number): boolean {
  return ranges.some((range) => {
    return (range.lane === 0 || range.lane === lane) && range.from_seq <= seq && seq <= range.to_seq;
  });
}

/** Whether the entry at `seq`, once placed in a block, is to be read as a tombstone. */
export function isErased(state: SqlDatabase, streamNo: number, seq: number): boolean {
  const ranges = erasuresOf(state, streamNo).filter((range) => range.from_seq <= seq && seq <= range.to_seq);
  if (ranges.length === 0) return false;
  return covers(ranges, laneAt(state, streamNo, seq), seq);
}

/**
 * The items with tombstones where ranges cover them; the same array where none does. `erased` is called with each entry
 * that was no tombstone yet.
 */
export function masked(
  items: Item[],
  lane: number,
  ranges: readonly NumberedRange[],
  erased?: (item: Item) => void,
): Item[] {
  if (ranges.length === 0 || !items.some((item) => covers(ranges, lane, item.seq))) return items;
  return items.map((item) => {
    if (isTombstone(item) || !covers(ranges, lane, item.seq)) return item;
    erased?.(item);
    return tombstone(item);
  });
}
