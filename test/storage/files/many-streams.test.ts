/** Flushes of many streams, into layers of many pages. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readStack } from "../../../storage/files/layers/page-table.ts";
import { statePath } from "../../../storage/files/sqlite/paths.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import { findShard } from "../../../storage/files/placed/state-reader.ts";
import type { Seq } from "../../../storage/types.ts";
import { ShardHistory } from "./history.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "many-streams-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a flush goes on with each stream where layers of many pages have it, and begins those that are new between them", async () => {
  const store = openSegmentStore({ dir, recentBytesMax: 0 });
  const history = new ShardHistory(9);
  try {
    // Every so-manieth of 1200 names, so that each flush has known and new ones side by side, before the first page and behind the last.
    for (const step of [7, 3, 50, 2, 11, 1]) {
      for (let user = 0; user < 1200; user += step) {
        const stream = `@${(user * 7919) % 1200}`;
        history.record([
          { kind: "entry", stream, lane: "@bob", key: "", payload: `${stream} says ${step} `.repeat(3) },
        ]);
      }
      await store.flush(history.job());
    }
    for (const { name, streamNo, headSeq } of history.streams.values()) {
      expect([name, store.head(history.shard, name)]).toEqual([name, { streamNo, headSeq }]);
    }
    expect(store.head(history.shard, "@")).toBeUndefined();
    expect(store.head(history.shard, "@500x")).toBeUndefined();
    expect(store.head(history.shard, "~")).toBeUndefined();
  } finally {
    await store.close();
  }
});

test("when layers have too much, items of streams that only cells came for are placed as well", async () => {
  const store = openSegmentStore({ dir, recentBytesMax: 0, layerBytesMax: 500 });
  const history = new ShardHistory(9);
  const names = ["@alice", "@carol", "@dave"];
  try {
    for (const stream of names)
      history.record([{ kind: "entry", stream, lane: "@bob", key: "d-1", payload: "hello ".repeat(50) }]);
    await store.flush(history.job());
    for (const stream of names.slice(1)) history.record([{ kind: "cell", stream, key: "name", value: stream }]);
    await store.flush(history.job());
    const state = new SqlDatabase(statePath(dir, history.shard), "readwrite");
    const { layers } = readStack(findShard(state)!.layers);
    state.close();
    expect(layers.map(({ itemBytes }) => itemBytes)).toEqual([0]);
    for (const name of names) {
      expect(store.readForward(history.shard, name, 0 as Seq, 10).length).toBe(1);
      expect(store.cells(history.shard, name).size).toBe(name === "@alice" ? 0 : 1);
    }
  } finally {
    await store.close();
  }
});

for (const recentBytesMax of [0, 1 << 20]) {
  test(`a cell of a stream that the job does not list is refused, with ${recentBytesMax} bytes in recent.db`, async () => {
    const store = openSegmentStore({ dir, recentBytesMax });
    const history = new ShardHistory(9);
    try {
      history.record([{ kind: "cell", stream: "@alice", key: "name", value: "Alice" }]);
      await store.flush(history.job());
      history.record([{ kind: "cell", stream: "@carol", key: "name", value: "Carol" }]);
      const job = history.job([{ stream: "@alice", key: "name", value: "Alicia" }]);
      const streams = job.streams.filter(({ name }) => name !== "@alice");
      const refused = await store.flush({ ...job, streams }).catch(String);
      expect(refused).toContain("@alice, the job lists it not");
      expect(Buffer.from(store.cell(history.shard, "@alice", "name")!).toString()).toBe("Alice");
    } finally {
      await store.close();
    }
  });
}
