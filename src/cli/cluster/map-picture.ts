/**
 * The 1000 shards as a picture: a letter for each owner, coloured on a terminal, and `*` for a shard that moves. The
 * letters are in the table of nodes, so that the picture can be read without colours too.
 */
import type { NodeId } from "../../cluster/map/partition-map.ts";
import { SHARD_COUNT, type ShardId } from "../../../storage/types.ts";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** Of the 256 colours of a terminal: far from each other, readable on black and on white. */
const COLOURS = [33, 208, 34, 170, 37, 160, 99, 136, 72, 205, 25, 130];
const ROW_WIDE = 100;
const ROW_NARROW = 50;
const LABEL_CELLS = 5;

/** @param at place of the node in the map. More nodes than letters share them. */
export const letterOf = (at: number): string => LETTERS[at % LETTERS.length]!;

export function coloured(text: string, at: number, hasColour: boolean): string {
  return hasColour ? `\x1b[38;5;${COLOURS[at % COLOURS.length]}m${text}\x1b[0m` : text;
}

type Picture = {
  owners: readonly NodeId[];
  nodes: readonly NodeId[];
  moving: ReadonlySet<ShardId>;
  columns: number;
  hasColour: boolean;
};

export function mapPicture({ owners, nodes, moving, columns, hasColour }: Picture): string {
  const width = columns >= ROW_WIDE + LABEL_CELLS ? ROW_WIDE : ROW_NARROW;
  const places = new Map(nodes.map((node, at) => [node, at]));
  const lines: string[] = [];
  for (let first = 0; first < SHARD_COUNT; first += width) {
    const row = owners.slice(first, first + width).map((owner, at) => ({
      place: places.get(owner)!,
      letter: moving.has((first + at) as ShardId) ? "*" : letterOf(places.get(owner)!),
    }));
    lines.push(`${String(first).padStart(LABEL_CELLS - 2)}  ${runsOf(row, hasColour)}\n`);
  }
  return lines.join("");
}

/** Neighbours of one colour share its escape sequence. */
function runsOf(row: readonly { place: number; letter: string }[], hasColour: boolean): string {
  let text = "";
  for (let at = 0; at < row.length;) {
    const { place } = row[at]!;
    let end = at;
    while (end < row.length && row[end]!.place === place) end++;
    const letters = row.slice(at, end).map(({ letter }) => letter);
    text += coloured(letters.join(""), place, hasColour);
    at = end;
  }
  return text;
}
