/**
 * The report of `parley repair`: for each part that was left out, where it was, what is known of it, and its bytes as
 * text and hexadecimal.
 */
import type { MendKind, MendNote } from "../node/mend/notes.ts";
import type { RepairedShard, RepairOfStore } from "../../storage/tools/repair/repair.ts";
import { oneLine, readable } from "../../storage/tools/readable.ts";
import type { Copied } from "./repair-copy.ts";
import { formatCount } from "./tool-options.ts";

/** The most bytes shown of one damaged part. All of them are in the damaged directory. */
const BYTES_SHOWN_MAX = 64 << 10;
const LINE_BYTES = 32;

const HEADINGS: Record<MendKind, string> = {
  reserved: "names that stay taken although their registration is lost",
  password: 'accounts without a password: "parley reset-password" gives a new one, an API key gets a token',
  devices: "accounts that were logged out everywhere: their users must log in again",
  raised: "histories whose end is lost",
  membership: "groups and members that disagreed, and were corrected",
  erased: "erased entries that came back, and were erased again",
  unknown: "what could not be mended",
};

/** One line for each kind, with how many there are. */
export function mendLines(notes: readonly MendNote[]): string[] {
  const byKind = Map.groupBy(notes, ({ kind }) => kind);
  return (Object.keys(HEADINGS) as MendKind[]).flatMap((kind) => {
    const count = byKind.get(kind)?.length ?? 0;
    return count === 0 ? [] : [`${HEADINGS[kind]}: ${formatCount(count)}`];
  });
}

function* mendParts(notes: readonly MendNote[]): Iterable<string> {
  for (const kind of Object.keys(HEADINGS) as MendKind[]) {
    const found = notes.filter((note) => note.kind === kind);
    if (found.length === 0) continue;
    yield HEADINGS[kind];
    for (const { shard, stream, what } of found)
      yield oneLine(`  ${stream || (shard === undefined ? "all" : `shard ${shard}`)}  ${what}`);
    yield "";
  }
}

export function repairReport(
  source: string,
  { shards, left, parts, broken }: RepairOfStore,
  notes: readonly MendNote[],
  { keys, leftOut, unreadable }: Omit<Copied, "data">,
): string {
  const lines = [
    `parley repair of ${source}`,
    "The parts listed here are not in the repaired directory. They may contain parts of messages: keep this file " +
      "private, and remove it after reading.",
    "",
  ];
  lines.push(...keys.map(oneLine));
  lines.push(...leftOut.map((path) => oneLine(`${path} is not a file of the server: it was not copied`)));
  for (const { path, from, to } of unreadable)
    lines.push(`${path}, bytes ${from} to ${to - 1}: the disk cannot read them`);
  if (lines.at(-1) !== "") lines.push("");
  for (const { numbers, found, missing } of emptyShards(shards)) {
    lines.push(`shards ${numbers}: nothing was found in them`, ...found.map((what) => `  found    ${oneLine(what)}`));
    lines.push(...missing.map((what) => `  missing  ${oneLine(what)}`), "");
  }
  for (const { shard, found, missing, lost } of shards.filter((one) => !isEmpty(one))) {
    lines.push(`shard ${shard}`, ...found.map((what) => `  found    ${oneLine(what)}`));
    lines.push(...missing.map((what) => `  missing  ${oneLine(what)}`));
    for (const { stream, ranges } of lost)
      for (const { from, to, lane } of ranges)
        lines.push(`  lost     ${stream} entries ${from} to ${to}${lane === undefined ? "" : `, of ${lane}`}`);
    lines.push("");
  }
  lines.push(...mendParts(notes));
  for (const { shard, what } of left) lines.push(`shard ${shard} was left as it is: ${oneLine(what)}`, "");
  for (const { file, from, bytes, what } of parts) {
    lines.push(`${file}, ${bytes.length} bytes at byte ${from}: ${oneLine(what)}`, ...dump(bytes), "");
  }
  for (const { file, table, values } of broken) {
    const shown = values.map((value) => (value instanceof Uint8Array ? readable(value) : String(value)));
    lines.push(`${file}, a row of table ${table} that fails its checksum: ${oneLine(shown.join(" | "))}`, "");
  }
  return `${lines.join("\n")}\n`;
}

/** Whether a shard has nothing in it, as most shards of a small server. Damage of the log may have hit any. */
export const isEmpty = ({ entries, streams, lost }: RepairedShard): boolean =>
  entries === 0 && streams === 0 && lost.length === 0;

/** Groups shards of which nothing was found by what is to be reported; `numbers` as `0 to 6, 8`. */
export function emptyShards(shards: readonly RepairedShard[]) {
  const alike = Map.groupBy(shards.filter(isEmpty), ({ found, missing }) => JSON.stringify([found, missing]));
  return [...alike.values()].map((group) => {
    const { found, missing, mayLackNewest } = group[0]!;
    return { count: group.length, numbers: rangesOf(group.map(({ shard }) => shard)), found, missing, mayLackNewest };
  });
}

/** @param numbers in ascending order */
function rangesOf(numbers: readonly number[]): string {
  const ranges: { from: number; to: number }[] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last?.to === number - 1) last.to = number;
    else ranges.push({ from: number, to: number });
  }
  return ranges.map(({ from, to }) => (from === to ? `${from}` : `${from} to ${to}`)).join(", ");
}

function* dump(bytes: Buffer): Iterable<string> {
  const shown = Math.min(bytes.length, BYTES_SHOWN_MAX);
  for (let at = 0; at < shown; at += LINE_BYTES) {
    const line = bytes.subarray(at, at + LINE_BYTES);
    const text = line.toString("latin1").replaceAll(/[^\x20-\x7e]/g, ".");
    yield `  ${String(at).padStart(8)}  ${line.toString("hex").padEnd(2 * LINE_BYTES)}  ${text}`;
  }
  if (shown < bytes.length) yield `  … ${bytes.length - shown} bytes more`;
}
