/** The summary that `parley repair` prints at its end, on stdout. */
import type { MendNote } from "../node/mend/notes.ts";
import type { LostEntries, RepairedShard, RepairOfStore } from "../../storage/tools/repair/repair.ts";
import type { Copied } from "./repair-copy.ts";
import { emptyShards, isEmpty, mendLines } from "./repair-report.ts";
import type { Swapped } from "./repair-swap.ts";
import { counted } from "./tool-options.ts";

export type Outcome = {
  repaired: RepairOfStore;
  notes: MendNote[];
  copied: Copied;
  /** Where the repaired directory is. */
  target: string;
  reportAt?: string;
  /** Where the damaged directory is now, after a repair in place. */
  kept?: string;
  /** Nothing was damaged, so the directory was not replaced. */
  isUnchanged?: true;
};

export function told(outcome: Outcome): string {
  const { shards, left } = outcome.repaired;
  const lines = shards.filter((one) => !isEmpty(one)).map(shardLine);
  for (const { count, mayLackNewest } of emptyShards(shards)) {
    const perhaps = mayLackNewest ? "; records of them may be lost" : "";
    lines.push(`${counted(count, "shard")} with nothing to be found in ${count === 1 ? "it" : "them"}${perhaps}`);
  }
  if (shards.length === 0) lines.push("no shard was damaged");
  for (const { shard, what } of left) lines.push(`shard ${shard} stays closed: ${what}`);
  lines.push(...outcome.copied.keys, ...mendLines(outcome.notes));
  lines.push(...(outcome.isUnchanged ? [`${outcome.target} was left as it is`] : placeLines(outcome)));
  return `${lines.join("\n")}\n`;
}

function placeLines({ target, reportAt, kept, copied: { leftOut } }: Outcome): string[] {
  const lines = [`repaired: ${target}`, `what was left out, to read: ${reportAt}`];
  if (leftOut.length > 0) lines.push(`not copied, not files of the server: ${counted(leftOut.length, "file")}`);
  if (kept !== undefined) lines.push(keptLine(kept));
  lines.push(`next: parley verify --data ${target}`);
  return lines;
}

const keptLine = (kept: string): string => `the damaged directory: ${kept}; remove it when you no longer need it`;

/** For a run that has finished an interrupted one. */
export function resumed(source: string, { kept, reportAt }: Swapped): string {
  const lines = ["a repair that was cut short is finished", `repaired: ${source}`];
  lines.push(`what was left out, to read: ${reportAt}`);
  if (kept !== undefined) lines.push(keptLine(kept));
  lines.push(`next: parley verify --data ${source}`);
  return `${lines.join("\n")}\n`;
}

function shardLine({ shard, entries, lost, missing, mayLackNewest, mayShowErased }: RepairedShard): string {
  const count = lost.reduce((sum, { ranges }) => sum + entriesIn(ranges), 0);
  const notes = [
    count === 0
      ? "none known to be lost"
      : `${counted(count, "entry", "entries")} lost in ${counted(lost.length, "stream")}`,
    ...missing,
    ...(mayLackNewest ? ["newer ones may be lost"] : []),
    ...(mayShowErased ? ["erased messages may have come back: erase them again"] : []),
  ];
  return `shard ${shard}: ${counted(entries, "entry", "entries")} saved, ${notes.join("; ")}`;
}

const entriesIn = (ranges: LostEntries["ranges"]): number =>
  ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
