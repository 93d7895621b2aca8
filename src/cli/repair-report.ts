/** What `parley repair` had to leave out, for a person to read: where it was, what can be said of it, its bytes as text and hexadecimal. */
import type { RepairOfStore } from "../../storage/tools/repair/repair.ts";
import { oneLine, readable } from "../../storage/tools/readable.ts";

/** Of one damaged part; all of it is in the directory as it was before. */
const BYTES_SHOWN_MAX = 64 << 10;
const LINE_BYTES = 32;

export function repairReport(source: string, { shards, left, parts, broken }: RepairOfStore): string {
  const lines = [
    `parley repair of ${source}`,
    "What is listed here is not in the repaired directory. It may hold parts of messages: keep it private, and remove it when it is read.",
    "",
  ];
  for (const { shard, found, missing, lost } of shards) {
    lines.push(`shard ${shard}`, ...found.map((what) => `  found    ${oneLine(what)}`));
    lines.push(...missing.map((what) => `  missing  ${oneLine(what)}`));
    for (const { stream, ranges } of lost)
      for (const { from, to, lane } of ranges)
        lines.push(`  lost     ${stream} entries ${from} to ${to}${lane === undefined ? "" : `, of ${lane}`}`);
    lines.push("");
  }
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

function* dump(bytes: Buffer): Iterable<string> {
  const shown = Math.min(bytes.length, BYTES_SHOWN_MAX);
  for (let at = 0; at < shown; at += LINE_BYTES) {
    const line = bytes.subarray(at, at + LINE_BYTES);
    const text = line.toString("latin1").replaceAll(/[^\x20-\x7e]/g, ".");
    yield `  ${String(at).padStart(8)}  ${line.toString("hex").padEnd(2 * LINE_BYTES)}  ${text}`;
  }
  if (shown < bytes.length) yield `  … ${bytes.length - shown} bytes more`;
}
