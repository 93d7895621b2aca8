/** Layers of many pages: a flush looks for its streams in all of them at once. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSegmentStore } from "../../../storage/segment/segment-store.ts";
import { ShardHistory } from "../segment/history.ts";

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
