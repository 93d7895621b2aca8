/** What a record may hold at most goes through everything that records become: memtable, log, recent entries, segments, an export. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import { openSegmentStore, type SegmentStoreOptions } from "../../storage/files/sqlite-segments.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { exportShard, spillShard } from "../../storage/tools/export-shard.ts";
import { importShard } from "../../storage/tools/import-shard.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import type { Offset, Seq, ShardId } from "../../storage/types.ts";
import { QUIET } from "./log-fixture.ts";

const SHARD = 7 as ShardId;
const END = Number.MAX_SAFE_INTEGER as Seq;
const LARGEST_SEQ = (2 ** 48 - 1) as Seq;
const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code)).join("");
const STREAMS = ["@", "~".repeat(255), ASCII];
const LANES = ["", "l".repeat(255), ASCII];
/** Counters of the most digits, behind prefixes of the most characters, and one more of each. */
const KEYS = [
  "",
  "k".repeat(255),
  ASCII,
  "9".repeat(15),
  "9".repeat(16),
  "9".repeat(255),
  `${"p".repeat(79)}-${"9".repeat(15)}`,
  `${"p".repeat(80)}-${"9".repeat(15)}`,
  "0",
  "00",
];
const CELLS = ["c".repeat(255), ASCII, ""];
const PAYLOADS = [0, 1, 127, 128, 70_000].map((length) => "x".repeat(length));

let place: string;
beforeEach(() => void (place = mkdtempSync(join(tmpdir(), "parley-limits-"))));
afterEach(() => rmSync(place, { recursive: true, force: true }));

function open(directory: string, options: Partial<SegmentStoreOptions>): Promise<LogStore> {
  const segments = openSegmentStore({ dir: directory, segmentBytesMax: 3000, blockBytesMax: 4096, ...options });
  return openLogStore({ directory, segments }, QUIET);
}

/** Each stream has each lane, each key once, and each payload. */
function append(log: ShardLog, name: string): void {
  const stream = new StreamHandle(name, undefined);
  const record = (encode: () => void): void => log.append({ encode, committed() {}, failed() {} });
  for (const [at, key] of KEYS.entries()) {
    const payload = PAYLOADS[at % PAYLOADS.length]!;
    record(() => {
      log.beginEntry(stream, LANES[at % LANES.length]!, key, (at + 1) as Seq, payload.length);
      log.writer.utf8(payload);
      log.endEntry();
      if (key !== "") log.putKey(stream, alone(key), LARGEST_SEQ, Buffer.from(key));
    });
  }
  for (const key of CELLS)
    record(() => {
      log.putNumbers(stream, key, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
      log.putCell(stream, alone(key), Buffer.from(key));
    });
}

/** Another of the same length. */
const alone = (key: string): string => `-${key.slice(1)}`;

const text = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString("latin1");

function readsOf(log: ShardLog): unknown {
  const plain = (entries: ReturnType<ShardLog["readForward"]>) =>
    entries.map((entry) => ({ ...entry, payload: text(entry.payload) }));
  return STREAMS.map((stream) => ({
    head: [log.head(stream)!.streamNo, log.head(stream)!.headSeq],
    all: plain(log.readForward(stream, 0 as Seq, 100)),
    lanes: LANES.map((lane) => plain(log.readLaneBackward(stream, lane, END, 100))),
    keys: KEYS.flatMap((key) => [key, alone(key)]).map((key) => {
      const hit = key === "" ? undefined : log.findKey(stream, key);
      return hit === undefined ? undefined : { seq: hit.seq, value: text(hit.value) };
    }),
    cells: new Map([...log.cells(stream)].map(([key, value]) => [key, text(value)])),
    since: log.streamsSince(0 as Offset).length,
  }));
}

test.each<[string, Partial<SegmentStoreOptions>]>([
  ["recent.db", {}],
  ["segments", { runEntriesMin: 2, recentItemsMax: 0, recentBytesMax: 0 }],
])(
  "names, numbers and payloads at their limits are read the same from memory, the log, %s, and an export",
  async (_, options) => {
    const [from, to, file] = [join(place, "from"), join(place, "to"), join(place, "shard.parley")];
    mkdirSync(from);
    mkdirSync(to);
    let store = await open(from, options);
    for (const stream of STREAMS) append(store.shard(SHARD), stream);
    await store.idle();
    const reads = readsOf(store.shard(SHARD));
    expect(JSON.stringify(reads)).toContain("9".repeat(255));
    await store.close();
    store = await open(from, options);
    expect(readsOf(store.shard(SHARD))).toEqual(reads);
    await store.flushAll(() => false);
    expect(store.shard(SHARD).memtable.isEmpty).toBe(true);
    expect(readsOf(store.shard(SHARD))).toEqual(reads);
    await store.compact(SHARD);
    expect(readsOf(store.shard(SHARD))).toEqual(reads);
    await store.close();
    await exportShard(from, SHARD, file, (shard) => spillShard(from, shard));
    await importShard(to, file);
    for (const directory of [from, to])
      expect((await verifyDirectory(directory, { companions: { constant: [], changing: [] } })).findings).toEqual([]);
    store = await open(to, options);
    expect(readsOf(store.shard(SHARD))).toEqual(reads);
    await store.close();
  },
);
