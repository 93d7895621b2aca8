/** The output of `parley inspect`: tables for people, JSON lines for programs. All output has a limit. */
import { readFileSync } from "node:fs";
import { MessageIds } from "../domain/message-id.ts";
import { eachRecord, readLog, type LogFrame } from "../../storage/tools/log-reader.ts";
import { overview } from "../../storage/tools/overview.ts";
import { writePlainDatabase } from "../../storage/tools/plain-database.ts";
import { oneLine, readable } from "../../storage/tools/readable.ts";
import { InspectedShard, type LayerRow, type TableRow } from "../../storage/tools/inspected-shard.ts";
import type { OperationVisitor } from "../../storage/encoding/record.ts";
import type { Offset, Seq, ShardId, StoredEntry } from "../../storage/types.ts";
import { describeEntry } from "./describe-entry.ts";
import { maskedCell, readableCell } from "./masked-cell.ts";
import { FatalError } from "./fatal-error.ts";
import type { InspectOptions } from "./inspect-options.ts";
import type { Io } from "./io.ts";
import { counted, formatBytes, formatCount, table, type BytesProgress } from "./tool-options.ts";

const shardName = (shard: number): string => String(shard).padStart(3, "0");

function jsonLines(io: Io, rows: readonly object[]): void {
  io.stdout(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
}

function more(shown: number, all: number): string {
  return all > shown ? `… and ${formatCount(all - shown)} more; --limit shows more\n` : "";
}

export async function showOverview({ directory, limit, json }: InspectOptions, io: Io): Promise<void> {
  const { log, shards, recentFileBytes } = await overview(directory);
  if (json) return jsonLines(io, [...log, ...shards]);
  const logRows = log
    .slice(-limit)
    .map(({ file, bytes, used, frames, records, shards: count, end }) => [
      String(file),
      formatBytes(bytes),
      formatBytes(used),
      formatCount(frames),
      formatCount(records),
      formatCount(count),
      end,
    ]);
  const shardRows = shards
    .slice(0, limit)
    .map(({ shard, term, flushedThrough, logThrough, streams, segments, bytes, recentBytes }) => [
      shardName(shard),
      String(term),
      formatCount(flushedThrough),
      logThrough > flushedThrough ? formatCount(logThrough) : "",
      formatCount(streams),
      formatCount(segments),
      bytes > 0 ? formatBytes(bytes) : "",
      recentBytes > 0 ? formatBytes(recentBytes) : "",
    ]);
  io.stdout(
    `${directory}: ${counted(log.length, "log file")}, ${counted(shards.length, "shard")} with data, recent.db of ${formatBytes(recentFileBytes)}\n\n`,
  );
  io.stdout(
    table([["LOG FILE", "SIZE", "USED", "FRAMES", "RECORDS", "SHARDS", "ENDS IN"], ...logRows], [0, 1, 2, 3, 4, 5]),
  );
  io.stdout(more(Math.min(limit, log.length), log.length));
  io.stdout(
    `\n${table([["SHARD", "TERM", "FLUSHED", "IN LOG TO", "STREAMS", "SEGMENTS", "OWN FILES", "IN RECENT.DB"], ...shardRows], [0, 1, 2, 3, 4, 5, 6, 7])}`,
  );
  io.stdout(more(shardRows.length, shards.length));
}

type Operation = {
  op: "entry" | "cell" | "key" | "erase";
  stream: string;
  lane?: string;
  key: string;
  seq?: number;
  toSeq?: number;
  bytes: number;
  value?: string;
};

/** Frames and their records, oldest first. */
export function showLog({ directory, limit, json, shard, after }: InspectOptions, io: Io): void {
  let lines = 0;
  const out = (text: string, row: object): boolean => {
    if (lines >= limit) return false;
    lines++;
    io.stdout(json ? `${JSON.stringify(row)}\n` : text);
    return true;
  };
  readLog(directory, {
    frame(frame) {
      if (after !== undefined && frame.fileNo <= after) return false;
      if (shard === undefined && !out(frameLine(frame), frameRow(frame))) return true;
      eachRecord(frame, (record, operations) => {
        if (shard !== undefined && record.shard !== shard) return false;
        const found: Operation[] = [];
        operations(collector(found, frame.buffer, record.offset));
        const { term, offset, at, end } = record;
        const row = { file: frame.fileNo, at, shard: record.shard, term, offset, bytes: end - at, operations: found };
        const head = `  ${String(at).padStart(10)}  shard ${shardName(record.shard)}  term ${term}  offset ${offset}  ${end - at} bytes\n`;
        return !out(head + found.map(operationLine).join(""), row);
      });
      return lines >= limit;
    },
  });
  if (lines >= limit && !json) io.stdout(`… ${counted(limit, "line")} shown; --limit shows more\n`);
}

const isMark = ({ from, to }: LogFrame): boolean => from === to;
const frameRow = (frame: LogFrame): object => ({
  file: frame.fileNo,
  at: frame.at,
  bytes: frame.bytes,
  mark: isMark(frame),
});
const frameLine = (frame: LogFrame): string =>
  `${String(frame.fileNo).padStart(10, "0")}.wal  ${isMark(frame) ? "mark " : "frame"}  at ${frame.at}  ${frame.bytes} bytes\n`;

function collector(found: Operation[], buffer: Buffer, offset: Offset): OperationVisitor {
  const at = (start: number, length: number): string => readable(buffer.subarray(start, start + length));
  return {
    entry(stream, lane, key, seq, start, bytes) {
      const payload = buffer.subarray(start, start + bytes);
      const { text } = describeEntry(stream, { seq, offset, lane, key, payload });
      found.push({ op: "entry", stream, lane, key, seq, bytes, value: text ?? readable(payload) });
    },
    cell(stream, key, start, bytes) {
      if (start < 0) return void found.push({ op: "cell", stream, key, bytes });
      const value = readableCell(stream, key, buffer.subarray(start, start + bytes));
      found.push({ op: "cell", stream, key, bytes, value });
    },
    key: (stream, key, seq, start, bytes) =>
      void found.push({ op: "key", stream, key, seq, bytes, value: at(start, bytes) }),
    erase: (stream, lane, seq, toSeq) =>
      void found.push({ op: "erase", stream, lane: lane ?? "", key: "", seq, toSeq, bytes: 0 }),
  };
}

const VALUE_CHARACTERS_MAX = 100;

function operationLine({ op, stream, lane, key, seq, toSeq, bytes, value }: Operation): string {
  const named = [
    stream,
    seq === undefined ? "" : `seq ${seq}`,
    lane ? `lane ${lane}` : "",
    key === "" ? "" : `key ${key}`,
  ];
  if (op === "erase")
    return `              ${op}  ${stream}  seq ${seq} to ${toSeq}  ${lane ? `lane ${lane}` : "all lanes"}\n`;
  const what = value === undefined ? "cleared" : `${bytes} bytes  ${shortened(value)}`;
  return `              ${op.padEnd(5)}  ${named.filter(Boolean).join("  ")}  ${what}\n`;
}

const shortened = (value: string): string =>
  oneLine(value.length > VALUE_CHARACTERS_MAX ? `${value.slice(0, VALUE_CHARACTERS_MAX)}…` : value);

export async function showShard(shard: ShardId, { directory, limit, json }: InspectOptions, io: Io): Promise<void> {
  const view = InspectedShard.open(directory, shard);
  try {
    const { reach, inLog } = view;
    const files = view.files();
    const layers = view.layers();
    const segments = view.segments();
    const streams = view.streams(limit);
    const { firstOffset, lastOffset } = inLog;
    if (json)
      return jsonLines(io, [
        { shard, ...reach, firstInLog: firstOffset, lastInLog: lastOffset, files, layers, segments },
        ...streams.rows,
      ]);
    const log = lastOffset === 0 ? "nothing" : `offsets ${firstOffset} to ${lastOffset}`;
    io.stdout(
      table([
        ["shard", shardName(shard)],
        ["term", String(reach.term || inLog.term)],
        ["in files", `through offset ${reach.flushedThrough}`],
        ["in the log", log],
        ["streams", formatCount(streams.count)],
      ]),
    );
    io.stdout(`\n${table([["FILE", "SIZE"], ...files.map(({ name, bytes }) => [name, formatBytes(bytes)])], [1])}`);
    if (layers.length > 0) io.stdout(`\n${layersTable(layers)}`);
    if (segments.length > 0)
      io.stdout(`\n${rowsTable(segments.slice(-limit))}${more(Math.min(limit, segments.length), segments.length)}`);
    io.stdout(
      `\n${table([["STREAM", "HEAD"], ...streams.rows.map(({ name, headSeq }) => [name, formatCount(headSeq)])], [1])}`,
    );
    io.stdout(more(streams.rows.length, streams.count));
  } finally {
    await view.close();
  }
}

function layersTable(layers: readonly LayerRow[]): string {
  const rows = layers.map(({ file, layer, pages, bytes, itemBytes, counts }) => [
    counts ? file : `${file}, not in use`,
    String(layer),
    formatCount(pages),
    formatBytes(bytes),
    formatBytes(itemBytes),
  ]);
  return table([["LAYER IN", "NUMBER", "PAGES", "UNPACKED", "NOT PLACED"], ...rows], [1, 2, 3, 4]);
}

/** Rows of a database table, with all its columns. */
function rowsTable(rows: readonly TableRow[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const cells = rows.map((row) => columns.map((column) => valueText(row[column] ?? null)));
  return table(
    [columns.map((column) => column.toUpperCase().replaceAll("_", " ")), ...cells],
    columns.map((_, at) => at),
  );
}

const valueText = (value: TableRow[string]): string =>
  value instanceof Uint8Array ? readable(value) : String(value ?? "");

export async function showStream(
  { shard, stream }: { shard: ShardId; stream: string },
  { directory, limit, after, lane, json }: InspectOptions,
  io: Io,
): Promise<void> {
  const view = InspectedShard.open(directory, shard);
  try {
    const entries =
      after === undefined ? view.newest(stream, limit, lane) : view.forward(stream, after as Seq, limit, lane);
    const cells = view.cells(stream);
    const headSeq = view.headSeq(stream);
    if (json) return jsonLines(io, [...entries.map((entry) => entryRow(stream, entry)), ...cellRows(stream, cells)]);
    io.stdout(`${stream} in shard ${shardName(shard)}: head ${headSeq}, ${counted(cells.size, "cell")}\n`);
    if (entries.length > 0) io.stdout(`\n${entriesTable(stream, entries)}`);
    const shown = [...cells]
      .slice(0, limit)
      .map(([key, value]) => [oneLine(key), shortened(readableCell(stream, key, value))]);
    if (shown.length > 0) io.stdout(`\n${table([["CELL", "VALUE"], ...shown])}${more(shown.length, cells.size)}`);
  } finally {
    await view.close();
  }
}

const entryRow = (stream: string, entry: StoredEntry): object => {
  const { seq, offset, lane, key, payload } = entry;
  return {
    stream,
    seq,
    offset,
    lane,
    key,
    bytes: payload.length,
    ...describeEntry(stream, entry),
    payload: readable(payload),
  };
};

const cellRows = (stream: string, cells: Map<string, Uint8Array>): object[] =>
  [...cells].map(([cell, value]) => ({ stream, cell, value: readableCell(stream, cell, value) }));

function entriesTable(stream: string, entries: readonly StoredEntry[]): string {
  const rows = entries.map((entry) => {
    const { time = "", kind = "", sender = "", text } = describeEntry(stream, entry);
    const said = shortened(text ?? readable(entry.payload));
    return [String(entry.seq), String(entry.offset), time, kind, sender, entry.lane, oneLine(entry.key), said];
  });
  return table([["SEQ", "OFFSET", "TIME", "KIND", "FROM", "LANE", "KEY", "TEXT"], ...rows], [0, 1]);
}

export async function showMessage(id: string, keyFile: string, options: InspectOptions, io: Io): Promise<void> {
  const place = new MessageIds(readFileSync(keyFile)).decode(id);
  if (place === undefined)
    throw new FatalError("usage", `${JSON.stringify(id.slice(0, 64))} is no message id of this server`);
  const view = InspectedShard.open(options.directory, place.shard);
  try {
    const stream = view.streamName(place.streamNo);
    const [entry] = stream === undefined ? [] : view.forward(stream, (place.seq - 1) as Seq, 1);
    if (stream === undefined || entry?.seq !== place.seq) {
      const where = `shard ${shardName(place.shard)}, stream number ${place.streamNo}, seq ${place.seq}`;
      throw new FatalError("failed", `no file has it: ${where}`, {
        hint: "'parley inspect stream' finds what is not flushed yet",
      });
    }
    const row = { id, shard: place.shard, ...entryRow(stream, entry) };
    if (options.json) return jsonLines(io, [row]);
    io.stdout(table(Object.entries(row).map(([name, value]) => [name, oneLine(String(value))])));
  } finally {
    await view.close();
  }
}

export async function writeSql(
  shard: ShardId,
  out: string,
  { directory }: InspectOptions,
  io: Io,
  progress: BytesProgress,
): Promise<void> {
  const view = InspectedShard.open(directory, shard);
  try {
    const rows = await writePlainDatabase(view, out, { describe: describeEntry, cell: maskedCell }, (done, total) =>
      progress.set("messages", done, total),
    );
    progress.finish();
    io.stdout(`${counted(rows, "entry", "entries")} of shard ${shardName(shard)} in ${out}\n`);
  } finally {
    await view.close();
  }
}
