/** Shards with something of everything in them, and where it comes to lie. */
import type { SegmentStoreOptions } from "../../../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import { chat, type ShardHistory } from "../files/history.ts";

const SMALL: Partial<SegmentStoreOptions> = {
  segmentBytesMax: 8000,
  blockBytesMax: 2048,
  recentItemsMax: 20,
  runEntriesMin: 6,
};
/** All of it in the shard's own files; what is newest in `recent.db`; all of it there. */
export const OWN = { ...SMALL, recentBytesMax: 0 };
export const MIXED = { ...SMALL, recentBytesMax: 12_000 };
export const LIGHT = { ...SMALL, recentBytesMax: 1 << 20 };
/** Runs, tails, recent items, keys of each kind, keys alone, cells. */
export async function flushRound(store: SegmentStore, history: ShardHistory, round: number): Promise<void> {
  chat(history, 60, 4);
  for (const key of [`any-key-${round}x`, "seldom", `high-${round * 1000}`]) {
    history.record([{ kind: "entry", stream: "@user1", lane: "@peer1", key, payload: `${round}` }]);
  }
  history.record([{ kind: "entry", stream: "@user0", lane: `@rare${round}`, key: "", payload: "a tail of one" }]);
  history.record([{ kind: "entry", stream: `@new${round}`, lane: "@user1", key: "", payload: "recent for long" }]);
  history.record([{ kind: "key", stream: "@user2", key: `g${round}-${round}`, seq: round + 3, value: "#team" }]);
  history.record([{ kind: "key", stream: "@keys", key: `only-${round}`, seq: round, value: "#team" }]);
  history.record([{ kind: "cell", stream: "@user3", key: `cell${round % 3}`, value: `v${round}` }]);
  history.record([{ kind: "cell", stream: "@user3", key: `gone${round % 2}`, value: round % 2 ? "v" : null }]);
  await store.flush(history.job([{ stream: "#quiet", key: "head", value: String(round) }]));
}
