import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { openSegmentStore, type SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { ShardHistory } from "./history.ts";

const SHARD = 9 as ShardId;
const NEVER = Number.MAX_SAFE_INTEGER as Seq;
const PAGE = 30;

let dir: string;
let open: SegmentStore[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "pages-"));
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

/** In each flush one entry of a quiet lane among many of lively ones; after each flush that has blocks, another segment. */
async function filled(flushes: number): Promise<ShardHistory> {
  const store = start({ segmentBytesMax: 1, recentItemsMax: 60, recentBytesMax: 0 });
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < flushes; i++) {
    for (let k = 0; k < 70; k++) {
      const lane = k === 35 ? "@quiet" : `@lively${k % 2}`;
      history.record([
        { kind: "entry", stream: "@alice", lane, key: `d7k2-${history.offset}`, payload: `said ${i} ${k}` },
      ]);
    }
    await store.flush(history.job());
  }
  await store.close();
  return history;
}

/** Names of the segment files that this process has open. */
function openSegments(): Set<string> {
  const names = readdirSync("/proc/self/fd").map((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(dir) ? basename(path) : "";
    } catch {
      return "";
    }
  });
  return new Set(names.filter((name) => /^segment-\d+\.db$/.test(name)));
}

/** Each page is read by a store of its own, which has nothing open before. */
async function segmentsFor(read: (store: SegmentStore) => { seq: Seq }[]): Promise<{ seqs: number[]; files: number }> {
  const store = start({ readHandlesMax: 64 });
  const seqs = read(store).map(({ seq }) => seq as number);
  const files = openSegments().size;
  await store.close();
  return { seqs, files };
}

test.if(process.platform === "linux")(
  "a page of 30 of a quiet conversation opens at most two segments, at every depth and in both directions",
  async () => {
    const history = await filled(150);
    const segments = readdirSync(join(dir, "shards", "009")).filter((name) => /^segment-\d+\.db$/.test(name));
    expect(segments.length).toBeGreaterThan(40);
    const expected = history.streams
      .get("@alice")!
      .entries.flatMap(({ lane, seq }) => (lane === "@quiet" ? [seq] : []));
    expect(expected.length).toBe(150);
    let isTouched = false;
    for (let end = expected.length; end >= PAGE; end -= 7) {
      const before = expected[end] ?? NEVER;
      const page = await segmentsFor((store) => store.readLaneBackward(SHARD, "@alice", "@quiet", before, PAGE));
      expect(page.seqs).toEqual(expected.slice(end - PAGE, end));
      expect(page.files).toBeLessThanOrEqual(2);
      isTouched ||= page.files === 2;
      const after = (expected[end - PAGE]! - 1) as Seq;
      const forward = await segmentsFor((store) => store.readLaneForward(SHARD, "@alice", "@quiet", after, PAGE));
      expect(forward.seqs).toEqual(page.seqs);
      expect(forward.files).toBeLessThanOrEqual(2);
    }
    expect(isTouched).toBe(true);
  },
  20_000,
);

test.if(process.platform === "linux")(
  "an entry by its seq opens at most one segment, a key that is a counter none",
  async () => {
    const history = await filled(40);
    for (let seq = 1; seq < history.offset; seq += 97) {
      const entry = await segmentsFor((store) => store.readForward(SHARD, "@alice", (seq - 1) as Seq, 1));
      expect(entry.seqs).toEqual([seq]);
      expect(entry.files).toBeLessThanOrEqual(1);
      const key = await segmentsFor((store) => [store.findKey(SHARD, "@alice", `d7k2-${seq - 1}`)!]);
      expect(key).toEqual({ seqs: [seq], files: 0 });
    }
  },
);

test("a user with hundreds of conversations is read in the order of the timeline, page by page", async () => {
  const store = start();
  const history = new ShardHistory(SHARD);
  for (let i = 0; i < 6000; i++) {
    const lane = `@peer${(i * i + 7 * i) % 300}`;
    history.record([{ kind: "entry", stream: "@alice", lane, key: "", payload: `${lane} ${i}` }]);
    if (i % 500 === 499) await store.flush(history.job());
  }
  const found: string[] = [];
  for (let after = 0 as Seq; ;) {
    const page = store.readForward(SHARD, "@alice", after, 64);
    if (page.length === 0) break;
    for (const { lane, payload } of page) found.push(`${lane} | ${Buffer.from(payload).toString()}`);
    after = page.at(-1)!.seq;
  }
  expect(found).toEqual(history.streams.get("@alice")!.entries.map(({ lane, payload }) => `${lane} | ${payload}`));
});
