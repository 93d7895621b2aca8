import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import { counterBehind } from "../../../storage/encoding/counted-key.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import type { Offset, Seq, ShardId, StoredEntry } from "../../../storage/types.ts";
import { chat, type ModelEntry, type ModelStream, type Op, ShardHistory } from "./history.ts";
import { seeded } from "../../support/seed.ts";
import { WAIT_MS } from "../../support/wait.ts";

let dir: string;
let open: SegmentStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "segment-store-"));
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  rmSync(dir, { recursive: true, force: true });
});

function start(options: Partial<SegmentStoreOptions> = {}): SegmentStore {
  const store = openSegmentStore({ dir, ...options });
  open.push(store);
  return store;
}

const SHARD = 7 as ShardId;
const NEVER = Number.MAX_SAFE_INTEGER as Seq;

function plain(entries: StoredEntry[]): ModelEntry[] {
  return entries.map((entry) => ({ ...entry, payload: Buffer.from(entry.payload).toString() }));
}

/** Every read call for every stream of the history, at many positions. */
function expectSame(store: SegmentStore, history: ShardHistory): void {
  const { shard } = history;
  const extent = store.reach(shard);
  expect(extent).toEqual({
    flushedThrough: history.flushedThrough,
    term: history.term,
    streamCount: history.streams.size,
  });
  const expectSameStreams = (): void => {
    for (const stream of history.streams.values()) expectSameStream(store, shard, stream);
  };
  // Inside one view and each by itself.
  if (history.offset % 2 === 0) store.within(shard, expectSameStreams);
  else expectSameStreams();
  for (let offset = 0; offset <= history.offset; offset++) expectSameSince(store, history, offset as Offset);
}

function expectSameStream(store: SegmentStore, shard: ShardId, model: ModelStream): void {
  const { name, entries } = model;
  expect(store.head(shard, name)).toEqual({ streamNo: model.streamNo, headSeq: model.headSeq });
  expect(store.streamName(shard, model.streamNo)).toBe(name);
  const cells = [...store.cells(shard, name)].map(([key, value]): [string, string] => [
    key,
    Buffer.from(value).toString(),
  ]);
  expect(new Map(cells)).toEqual(model.cells);
  const snapshot = store.snapshot(shard, name)!;
  expect(snapshot.head).toEqual({ streamNo: model.streamNo, headSeq: model.headSeq });
  expect([...snapshot.cells()].map(([key]) => key).sort()).toEqual([...model.cells.keys()].sort());
  for (const [key, value] of model.cells) expect(Buffer.from(snapshot.cell(key)!).toString()).toBe(value);
  for (const [key, value] of model.cells) expect(Buffer.from(store.cell(shard, name, key)!).toString()).toBe(value);
  for (const [key, hit] of model.keys) {
    const found = store.findKey(shard, name, key);
    expect({ key, seq: found?.seq, value: found?.value && Buffer.from(found.value) }).toEqual({ key, ...hit } as never);
  }
  expectSameCounters(store, shard, model);
  for (const key of model.erasedKeys) if (!model.keys.has(key)) expect(store.findKey(shard, name, key)).toBeUndefined();
  for (const key of STRANGE_KEYS) if (!model.keys.has(key)) expect(store.findKey(shard, name, key)).toBeUndefined();
  for (let seq = 0; seq <= model.headSeq + 1; seq++) {
    for (const limit of [1, 3, 1000]) {
      const after = entries.filter((entry) => entry.seq > seq);
      expect(plain(store.readForward(shard, name, seq as Seq, limit))).toEqual(after.slice(0, limit));
      for (const lane of LANES) expectSameLane(store, shard, model, lane, seq as Seq, limit);
    }
  }
}

/** Never below a key that is there, and never above all that ever were. */
function expectSameCounters(store: SegmentStore, shard: ShardId, { name, keys, erasedKeys }: ModelStream): void {
  for (const prefix of PREFIXES) {
    const highestOf = (found: Iterable<string>): number =>
      Math.max(-1, ...[...found].map((key) => counterBehind(prefix, key)));
    const highest = store.highestCounter(shard, name, prefix);
    if (highest === undefined) expect(prefix).toBe("m");
    else {
      expect(highest).toBeGreaterThanOrEqual(highestOf(keys.keys()));
      expect(highest).toBeLessThanOrEqual(highestOf([...keys.keys(), ...erasedKeys]));
    }
  }
}

function expectSameLane(
  store: SegmentStore,
  shard: ShardId,
  model: ModelStream,
  lane: string,
  seq: Seq,
  limit: number,
): void {
  const ofLane = model.entries.filter((entry) => entry.lane === lane);
  const after = ofLane.filter((entry) => entry.seq > seq).slice(0, limit);
  const before = ofLane.filter((entry) => entry.seq < seq).slice(-limit);
  expect(plain(store.readLaneForward(shard, model.name, lane, seq, limit))).toEqual(after);
  expect(plain(store.readLaneBackward(shard, model.name, lane, seq, limit))).toEqual(before);
}

function expectSameSince(store: SegmentStore, history: ShardHistory, offset: Offset): void {
  const expected = new Map<string, Seq>();
  for (const stream of history.streams.values()) {
    const first = stream.entries.find((entry) => entry.offset > offset);
    if (first !== undefined) expected.set(stream.name, first.seq);
  }
  const found = store
    .streamsSince(history.shard, offset)
    .map(({ stream, fromSeq }): [string, Seq] => [stream, fromSeq]);
  expect(new Map(found)).toEqual(expected);
  expect(found.length).toBe(expected.size);
}

const LANES = ["", "@bob", "#ubuntu"];
const STREAMS = ["@alice", "@carol", "#ubuntu"];
const PREFIXES = ["", "d7k2-", "q-", "much-longer-than-12-", "a-", "a--", "m", "never-", "-"];
const STRANGE_KEYS = [
  "m3",
  "m12",
  "007",
  "7",
  "9999999999999999999",
  "999999999999999",
  "-",
  "a-",
  "0",
  "-0",
  "a-0",
  "a-00",
  "a-1",
  "~",
  "a--1",
  "1e3",
  "1.0",
  "__proto__",
  "x".repeat(64),
];

const key = fc.oneof(
  fc.constantFrom(...STRANGE_KEYS),
  fc.tuple(fc.constantFrom("d7k2", "q", "much-longer-than-12"), fc.nat(40)).map(([device, n]) => `${device}-${n}`),
  fc.constant(""),
);
const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ minLength: 200, maxLength: 900 }),
  fc.constant("hello ".repeat(300)),
);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("entry" as const),
      stream: fc.constantFrom(...STREAMS),
      lane: fc.constantFrom(...LANES),
      key,
      payload: text,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("key" as const),
      stream: fc.constantFrom(...STREAMS),
      key: key.filter((k) => k !== ""),
      seq: fc.nat(1000),
      value: text,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("cell" as const),
      stream: fc.constantFrom(...STREAMS),
      key: fc.constantFrom("name", "mark", "m"),
      value: fc.option(text),
    }),
  },
);
const eraseOp: fc.Arbitrary<Op> = fc.record({
  kind: fc.constant("erase" as const),
  stream: fc.constantFrom(...STREAMS),
  lane: fc.option(fc.constantFrom(...LANES), { nil: undefined }),
  fromSeq: fc.integer({ min: 1, max: 12 }),
  toSeq: fc.integer({ min: 1, max: 24 }),
});
const checkpoint = fc.array(
  fc.record({ stream: fc.constantFrom(...STREAMS), key: fc.constantFrom("name", "derived"), value: fc.option(text) }),
  { maxLength: 3 },
);
const range = fc.record({
  stream: fc.constantFrom(...STREAMS, "@nobody"),
  lane: fc.option(fc.constantFrom(...LANES, "@never"), { nil: undefined }),
  fromSeq: fc.integer({ min: 1, max: 12 }),
  toSeq: fc.integer({ min: 1, max: 24 }),
});
const flush = fc.record({
  records: fc.array(fc.array(fc.oneof({ weight: 30, arbitrary: op }, eraseOp), { minLength: 1, maxLength: 3 }), {
    maxLength: 8,
  }),
  checkpoint,
  next: fc.constantFrom("nothing", "reopen", "erase", "finish erasing", "compact", "spill"),
  ranges: fc.array(range, { maxLength: 3 }),
});

/** From everything in files of the shard's own to hardly anything. */
const sizes = fc.record({
  recentBytesMax: fc.constantFrom(0, 500, 3000, 1_000_000),
  layerBytesMax: fc.constantFrom(300, 1_000_000),
});

/** What comes after a flush. @returns the store, opened again or not */
async function goOn(
  store: SegmentStore,
  history: ShardHistory,
  step: FlushStep,
  options: SegmentStoreOptions,
): Promise<SegmentStore> {
  if (step.next === "erase") {
    for (const one of step.ranges) history.erase(one);
    await store.erase(SHARD, step.ranges);
  } else if (step.next === "finish erasing") {
    await store.erase(SHARD, []);
    expect(store.pendingErasures()).toEqual([]);
  } else if (step.next === "compact") await store.compact(SHARD);
  else if (step.next === "spill") await store.spill(SHARD);
  else if (step.next === "reopen") {
    await store.close();
    return openSegmentStore(options);
  }
  return store;
}

type FlushStep = typeof flush extends fc.Arbitrary<infer Step> ? Step : never;

test("every read answers as a model does, over flushes, segments, erasures, compactions and restarts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(flush, { minLength: 1, maxLength: 6 }), sizes, async (flushes, size) => {
      rmSync(join(dir, "shards"), { recursive: true, force: true });
      const options = {
        dir,
        segmentBytesMax: 9000,
        blockBytesMax: 600,
        readHandlesMax: 2,
        writersMax: 1,
        walBytesMax: 10_000,
        runEntriesMin: 3,
        recentItemsMax: 6,
        ...size,
      };
      let store = openSegmentStore(options);
      const history = new ShardHistory(SHARD);
      try {
        for (const step of flushes) {
          for (const ops of step.records) history.record(ops);
          await store.flush(history.job(step.checkpoint));
          expectSame(store, history);
          store = await goOn(store, history, step, options);
          expectSame(store, history);
        }
      } finally {
        await store.close();
      }
    }),
    { ...seeded(20), interruptAfterTimeLimit: 30_000 },
  );
});

test("what is read within one moment is of that moment, whatever the worker commits meanwhile", async () => {
  const store = start();
  const other = start();
  const history = new ShardHistory(SHARD);
  const say = (): void => {
    history.record([{ kind: "entry", stream: "@alice", lane: "@bob", key: "", payload: "hello" }]);
    history.record([{ kind: "cell", stream: "@alice", key: "mark", value: String(history.offset) }]);
  };
  say();
  await store.flush(history.job([]));
  say();
  const read = (): unknown => ({
    head: store.head(SHARD, "@alice")?.headSeq,
    reach: Buffer.from(store.cell(SHARD, "@alice", "mark")!).toString(),
    entries: store.readForward(SHARD, "@alice", 0 as Seq, 10).length,
  });
  const before = { head: 1, reach: "1", entries: 1 };
  let flushed: Promise<void> | undefined;
  store.within(SHARD, () => {
    expect(read()).toEqual(before);
    flushed = store.flush(history.job([]));
    const giveUpAt = performance.now() + WAIT_MS;
    while (other.reach(SHARD).flushedThrough < 4) expect(performance.now()).toBeLessThan(giveUpAt);
    expect(read()).toEqual(before);
  });
  expect(read()).toEqual({ head: 2, reach: "3", entries: 2 });
  await flushed;
});

test("a moment is of one shard, and asking another one within it is an error", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  history.record([{ kind: "cell", stream: "@alice", key: "mark", value: "1" }]);
  await store.flush(history.job([]));
  expect(() => store.within(SHARD, () => store.head(8 as ShardId, "@bob"))).toThrow("not asked inside a moment");
  expect(store.head(8 as ShardId, "@bob")).toBeUndefined();
});

test("keys of hundreds of flushes are found by halving, and no others", async () => {
  const store = start({ segmentBytesMax: 20_000, runEntriesMin: 5, recentItemsMax: 8, recentBytesMax: 0 });
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < 150; i++) {
    const foreign = { kind: "entry", stream: "@alice", lane: "@eve", key: "", payload: "received" } as const;
    if (i % 3 === 0) history.record([foreign]);
    else if (i % 5 === 0)
      history.record([{ kind: "key", stream: "@alice", key: `d7k2-${i * 2}`, seq: i, value: "#ubuntu" }]);
    else history.record([{ ...foreign, key: `d7k2-${i * 2}` }]);
    if (i % 7 === 0) history.record([{ ...foreign, key: `d7k2-${Math.max(0, i - 9) * 2 + 1}` }]);
    if (i % 4 === 0) history.record([{ kind: "key", stream: "@alice", key: `p-${i}`, seq: i, value: "" }]);
    if (i % 2 === 0) await store.flush(history.job());
  }
  await store.flush(history.job());
  const { keys } = history.streams.get("@alice")!;
  for (let n = 0; n < 320; n++) {
    for (const name of [`d7k2-${n}`, `p-${n}`]) {
      const found = store.findKey(SHARD, "@alice", name);
      expect([name, found?.seq, found?.value?.toString()]).toEqual([
        name,
        keys.get(name)?.seq,
        keys.get(name)?.value?.toString(),
      ]);
    }
  }
});

test("a burst of one lane that fills many blocks is read whole, in every direction", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  chat(history, 10, 2);
  for (let i = 0; i < 3000; i++) {
    history.record([
      { kind: "entry", stream: "@alice", lane: "@bob", key: `d7k2-${i}`, payload: `burst ${i} `.repeat(5) },
    ]);
  }
  await store.flush(history.job());
  const { entries } = history.streams.get("@alice")!;
  expect(plain(store.readForward(SHARD, "@alice", 0 as Seq, 5000))).toEqual(entries);
  expect(plain(store.readLaneForward(SHARD, "@alice", "@bob", 0 as Seq, 5000))).toEqual(entries);
  expect(plain(store.readLaneBackward(SHARD, "@alice", "@bob", NEVER, 5000))).toEqual(entries);
  expect(plain(store.readForward(SHARD, "@alice", 1499 as Seq, 3))).toEqual(entries.slice(1499, 1502));
});

test("of a key that occurs twice the first is found", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  for (const name of ["d-5", "random", "d-5", "random", "d-3", "d-3"]) {
    history.streams.get("@alice")?.keys.clear();
    history.record([{ kind: "entry", stream: "@alice", lane: "", key: name, payload: name }]);
    await store.flush(history.job());
  }
  const seqs = ["d-5", "random", "d-3"].map((name) => store.findKey(SHARD, "@alice", name)?.seq as number);
  expect(seqs).toEqual([1, 2, 5]);
});

test("a shard without data has no files, and asking makes none", () => {
  const store = start();
  expect(store.reach(SHARD)).toEqual({ flushedThrough: 0, term: 0, streamCount: 0 } as never);
  expect(store.head(SHARD, "@alice")).toBeUndefined();
  expect(store.streamName(SHARD, 0)).toBeUndefined();
  expect(store.cells(SHARD, "@alice").size).toBe(0);
  expect(store.readForward(SHARD, "@alice", 0 as Seq, 10)).toEqual([]);
  expect(store.readLaneBackward(SHARD, "@alice", "@bob", NEVER, 10)).toEqual([]);
  expect(store.findKey(SHARD, "@alice", "d-1")).toBeUndefined();
  expect(store.highestCounter(SHARD, "@alice", "d-")).toBe(-1);
  expect(store.streamsSince(SHARD, 0 as Offset)).toEqual([]);
  expect(readdirSync(dir)).toEqual([]);
});

test("what a shard has little of makes no file of its own", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  history.record([{ kind: "cell", stream: "@alice", key: "name", value: "Alice" }]);
  await store.flush(history.job());
  expectSame(store, history);
  await store.close();
  expect(readdirSync(join(dir, "shards"))).toEqual(["recent.db"]);
  const again = start();
  expectSame(again, history);
  await again.spill(SHARD);
  expectSame(again, history);
  await again.close();
  expect(readdirSync(join(dir, "shards", "007"))).toEqual(["state.db"]);
});

test("after closing, a shard is plain files: no write-ahead file, sealed segments out of WAL mode", async () => {
  const store = start({ segmentBytesMax: 3000, runEntriesMin: 1, recentItemsMax: 0, recentBytesMax: 0 });
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < 6; i++) {
    chat(history, 200, 5);
    await store.flush(history.job());
    expect(store.readForward(SHARD, "@user0", 0 as Seq, 5).length).toBe(5);
  }
  expectSameStream(store, SHARD, history.streams.get("@user0")!);
  await store.close();
  const files = readdirSync(join(dir, "shards", "007")).sort();
  expect(files.filter((name) => /-(wal|shm|journal)$|\.new$/.test(name))).toEqual([]);
  expect(files.length).toBeGreaterThan(4);
  const journalModes = await Promise.all(
    files.map(async (name) => new Uint8Array(await Bun.file(join(dir, "shards", "007", name)).arrayBuffer())[18]),
  );
  const segments = files.map((name, i) => [name, journalModes[i]]).filter(([name]) => name !== "state.db");
  expect(segments.slice(0, -2).every(([, mode]) => mode === 1)).toBe(true);
});

test("reads while the worker flushes see all of a flush or nothing", async () => {
  const store = start({ segmentBytesMax: 200_000 });
  const history = new ShardHistory(SHARD);
  for (let round = 0; round < 15; round++) {
    for (let i = 0; i < 300; i++) {
      history.record([
        { kind: "entry", stream: "@alice", lane: "@bob", key: `d-${history.offset}`, payload: "a".repeat(60) },
        { kind: "entry", stream: "@carol", lane: "@bob", key: "", payload: "b".repeat(60) },
      ]);
    }
    let isDone = false;
    const flushed = store.flush(history.job()).then(() => (isDone = true));
    while (!isDone) {
      const { flushedThrough } = store.reach(SHARD);
      const head = store.head(SHARD, "@carol")?.headSeq ?? 0;
      const last = store.readLaneBackward(SHARD, "@carol", "@bob", NEVER, 1)[0]?.offset ?? 0;
      expect(flushedThrough % 300).toBe(0);
      expect([0, 300]).toContain(head - flushedThrough);
      expect([0, 300]).toContain(last - head);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await flushed;
    expect(store.reach(SHARD).flushedThrough).toBe(history.offset);
    expect(store.readLaneBackward(SHARD, "@carol", "@bob", NEVER, 1)[0]!.offset).toBe(history.offset);
  }
});

test.if(process.platform === "linux")(
  "open descriptors stay within the bounds, whatever the number of shards and segments",
  async () => {
    const store = start({ readHandlesMax: 6, writersMax: 3, segmentBytesMax: 9000, recentBytesMax: 5000 });
    const histories = Array.from({ length: 25 }, (_, shard) => new ShardHistory(shard));
    for (let round = 0; round < 3; round++) {
      for (const history of histories) {
        chat(history, 40, 4);
        await store.flush(history.job());
      }
    }
    for (const history of histories) {
      expect(store.readForward(history.shard, "@user1", 0 as Seq, 1000)).toHaveLength(30);
      expect(openFilesBelow(dir)).toBeLessThanOrEqual(6 * 3 + 3 * 2 * 3 + 3);
    }
    await store.close();
    expect(openFilesBelow(dir)).toBe(0);
  },
  20_000,
);

function openFilesBelow(path: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
    } catch {
      return false;
    }
  }).length;
}
