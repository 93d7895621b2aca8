/**
 * The bytes in storage/EXAMPLE.md: one message in every place that it comes to. `UPDATE=1` writes them anew.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ByteReader } from "../../storage/encoding/byte-reader.ts";
import { readRun } from "../../storage/encoding/run.ts";
import { unpackedRow } from "../../storage/encoding/packing.ts";
import { RECORD_HEADER_BYTES } from "../../storage/encoding/record.ts";
import { readFragment } from "../../storage/files/layers/fragment.ts";
import { RECENT_FORMAT } from "../../storage/files/layers/recent-file.ts";
import { readBlockParts } from "../../storage/files/placed/block.ts";
import { readKeyPage } from "../../storage/files/placed/key-page.ts";
import { readBlock, SEGMENT_FORMAT } from "../../storage/files/placed/segment-file.ts";
import { STATE_FORMAT } from "../../storage/files/placed/state-file.ts";
import { readPage } from "../../storage/files/placed/timeline.ts";
import type { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { openForReading } from "../../storage/files/sqlite/handle-pool.ts";
import { recentPath, segmentPath, statePath } from "../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../storage/files/sqlite-segments.ts";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { readLog, type LogFrame } from "../../storage/tools/log-reader.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { QUIET } from "./log-fixture.ts";

const SHARD = 7 as ShardId;
const EXAMPLE = join(import.meta.dir, "../../storage/EXAMPLE.md");
const found = new Map<string, string>();
let directory: string;
let store: LogStore;
let handle: StreamHandle;

/** Limits so small that few messages are enough for each step. */
beforeAll(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), "example-"));
  const segments = openSegmentStore({ dir: directory, recentBytesMax: 100, recentItemsMax: 5, runEntriesMin: 8 });
  store = await openLogStore({ directory, segments, markAfterMs: 0 }, QUIET);
  handle = new StreamHandle("@ann", undefined);
  await inLog();
  await inRecent();
  await inTail();
  await inBlock();
  await erased();
  await compacted();
  await store.close();
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

test.each(["log", "memtable", "recent", "tail", "block", "tombstone", "compacted"])("the bytes of %s", (name) => {
  const text = fs.readFileSync(EXAMPLE, "utf8");
  const place = new RegExp(`(<!-- ${name} -->\n\n\`\`\`text\n)([^]*?)(\`\`\`)`);
  if (process.env["UPDATE"] !== undefined)
    return fs.writeFileSync(
      EXAMPLE,
      text.replace(place, (_, before, __, after) => before + found.get(name)! + after),
    );
  expect(place.exec(text)?.[2]).toBe(found.get(name));
});

const hex = (bytes: Uint8Array, from = 0, to = bytes.length): string =>
  [...bytes.subarray(from, to)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
const line = (label: string, text: unknown): string => `${label.padEnd(24)}${String(text)}\n`;

function append(put: () => void): Promise<void> {
  return new Promise((committed, failed) => {
    store.shard(SHARD).append({ encode: put, committed, failed });
  });
}

function say(text: string): Promise<void> {
  const log = store.shard(SHARD);
  return append(() => {
    const seq = (handle.appendedSeq + 1) as Seq;
    log.beginEntry(handle, "@bob", `d7k2-${seq}`, seq, text.length);
    log.writer.utf8(text);
    log.endEntry();
  });
}

async function sayMore(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await say(`more ${handle.appendedSeq + 1}`);
  await store.flushAll(() => false);
}

async function inLog(): Promise<void> {
  await say("Hi Bob");
  const frames: LogFrame[] = [];
  readLog(directory, { frame: (frame) => void frames.push(frame) });
  const { buffer, at, from, to, bytes } = frames[0]!;
  let pos = from;
  const next = (count: number): string => hex(buffer, pos, (pos += count));
  const name = (): string => next(1 + buffer[pos]!);
  found.set(
    "log",
    line("wal/0000000001.wal", `byte ${at}, ${bytes} bytes`) +
      line("frame header", hex(buffer, at, from)) +
      line("record: bytes", next(4)) +
      line("  shard, term", `${next(2)} | ${next(4)}`) +
      line("  offset", next(6)) +
      line("  entry", next(1)) +
      line("    stream @ann", name()) +
      line("    lane @bob", name()) +
      line("    key d7k2-1", name()) +
      line("    seq", next(6)) +
      line("    payload bytes", next(4)) +
      line('    "Hi Bob"', hex(buffer, pos, to)),
  );
  const { memtable } = store.shard(SHARD);
  found.set(
    "memtable",
    line("record", `${memtable.bytes} bytes, the same as in the log`) +
      line("pointer", `0: chunk 0, byte 0; the entry begins behind ${RECORD_HEADER_BYTES} bytes`) +
      line("stream @ann", "head seq 1; entries [0]"),
  );
}

const inFile = <T>(db: SqlDatabase, ask: (db: SqlDatabase) => T): T => {
  try {
    return ask(db);
  } finally {
    db.close();
  }
};
const inState = <T>(ask: (db: SqlDatabase) => T): T =>
  inFile(openForReading(statePath(directory, SHARD), STATE_FORMAT, "written"), ask);
type Packed = { codec: number; raw_bytes: number; data: Uint8Array };

async function inRecent(): Promise<void> {
  await store.flushAll(() => false);
  inFile(openForReading(recentPath(directory), RECENT_FORMAT, "written"), (db) => {
    const row = db.sql("SELECT * FROM page").get<Packed & { layer: number; first: string }>()!;
    const raw = unpackedRow(row);
    const fragment = readFragment(raw, 0, raw.length);
    const [piece] = fragment.pieces;
    found.set(
      "recent",
      line(
        "recent.db, table page",
        `layer ${row.layer}, first ${row.first}, ${row.raw_bytes} bytes, codec ${row.codec}`,
      ) +
        line("fragment of @ann", hex(raw, 0, piece!.from)) +
        line(
          "  reach",
          `stream ${fragment.streamNo}, head ${fragment.headSeq} at offset ${fragment.headOffset}, placed 0`,
        ) +
        line("  piece of 1 item", hex(raw, piece!.from, piece!.at)) +
        line("  lanes, keys, bytes", hex(raw, piece!.at, piece!.end)),
    );
  });
}

async function inTail(): Promise<void> {
  await sayMore(6);
  inState((db) => {
    const tail = db.sql("SELECT * FROM tail").get<Packed & { tail: number; first_seq: number; last_seq: number }>()!;
    const { items } = readRun(unpackedRow(tail), 0, tail.raw_bytes);
    const lane = db.sql("SELECT * FROM lane").get<{ stream_no: number; name: string; lane: number }>()!;
    const keys = db.sql("SELECT * FROM key_page").get<{ page: Uint8Array }>()!;
    const timeline = db.sql("SELECT * FROM timeline").get<{ page: Uint8Array }>()!;
    const [key] = readKeyPage(keys.page);
    const { first, stretches } = readPage(timeline.page);
    found.set(
      "tail",
      line("table lane", `stream ${lane.stream_no}, ${lane.name}: number ${lane.lane}`) +
        line(
          "table tail",
          `row ${tail.tail}: seq ${tail.first_seq} to ${tail.last_seq}, ${tail.raw_bytes} bytes, codec ${tail.codec}`,
        ) +
        line(
          "  first item",
          `seq ${items[0]!.seq}, offset ${items[0]!.offset}, ${items[0]!.key}, ${items[0]!.length} bytes`,
        ) +
        line("table key_page", hex(keys.page)) +
        line("  first key", `${key!.prefix} ${key!.counter}: seq ${key!.seq}`) +
        line("table timeline", hex(timeline.page)) +
        line("  from seq", `${first}: ${stretches.map(({ lane: no, count }) => `${count} of lane ${no}`).join(", ")}`),
    );
  });
}

/** The length that stands before the only run of a block. */
function runBytesOf(raw: Buffer): number {
  const reader = new ByteReader(raw);
  reader.varint();
  reader.varint();
  return reader.varint();
}

/** The block that has the message, as it is now. */
function block(): string {
  return inState((db) => {
    const run = db
      .sql("SELECT * FROM run WHERE first_seq = 1")
      .get<{ segment: number; block: number; entries: number }>()!;
    const segment = db
      .sql("SELECT * FROM segment WHERE segment = ?")
      .get<{ file: number; base: number; packing: number }>(run.segment)!;
    const path = segmentPath(directory, SHARD, segment.file);
    return inFile(openForReading(path, SEGMENT_FORMAT, "written"), (file) => {
      const row = segment.base + run.block;
      const { codec, data } = file.sql("SELECT codec, data FROM block WHERE block = ?").get<Packed>(row)!;
      const raw = readBlock(file, { shard: SHARD, file: segment.file, block: row });
      const [part] = readBlockParts(raw);
      const { items } = part!.run;
      const [item] = items;
      // A seq and an offset for each item, all of one byte.
      const seqsAt = raw.length - runBytesOf(raw) + 6;
      const keysAt = seqsAt + 2 * items.length;
      return (
        line(
          "table run",
          `lane ${part!.lane}, from seq 1: segment ${run.segment}, block ${run.block}, ${run.entries} entries`,
        ) +
        line(
          "table segment",
          `segment ${run.segment}: file ${segment.file}, base ${segment.base}, packing ${segment.packing}`,
        ) +
        line(
          path.slice(path.lastIndexOf("/") + 1),
          `row ${row}: ${raw.length} bytes, ${data.length} in codec ${codec}`,
        ) +
        line("  part, lane, entries", hex(raw, 0, seqsAt)) +
        line("  steps of seq", hex(raw, seqsAt, seqsAt + items.length)) +
        line("  steps of offset", hex(raw, seqsAt + items.length, keysAt)) +
        line("  prefix, then keys", `${hex(raw, keysAt, keysAt + 16)} …`) +
        line("  first item", `seq ${item!.seq}, offset ${item!.offset}, key "${item!.key}", ${item!.length} bytes`)
      );
    });
  });
}

async function inBlock(): Promise<void> {
  await sayMore(8);
  found.set("block", block());
}

async function erased(): Promise<void> {
  await append(() => store.shard(SHARD).erase(handle, "@bob", 1 as Seq, 1 as Seq));
  await store.eraseNow();
  found.set("tombstone", block());
}

async function compacted(): Promise<void> {
  await store.compact(SHARD);
  found.set("compacted", block());
}
