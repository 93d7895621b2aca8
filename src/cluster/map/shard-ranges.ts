/** Shards as people write them: `0-332,500,700-999`. */
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

export function writeRanges(shards: Iterable<ShardId>): string {
  const ranges: [first: number, last: number][] = [];
  for (const shard of [...shards].toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === shard - 1) last[1] = shard;
    else ranges.push([shard, shard]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}

/** @throws RangeError that names the part that is wrong */
export function readRanges(text: string): ShardId[] {
  if (text.trim() === "") return [];
  return text.split(",").flatMap((part) => {
    const [, first, last = first] = /^\s*(\d{1,3})(?:-(\d{1,3}))?\s*$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === undefined || to >= SHARD_COUNT || from > to)
      throw new RangeError(`${JSON.stringify(part.slice(0, 40))} is no range of shards from 0 to ${SHARD_COUNT - 1}`);
    return Array.from({ length: to - from + 1 }, (_, at) => (from + at) as ShardId);
  });
}
