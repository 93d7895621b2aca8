/** Everything that can be read of a shard, for comparing two copies of it. */
import type { SegmentStore } from "../../../storage/files/segment-store.ts";
import type { Offset, Seq, ShardId } from "../../../storage/types.ts";
import type { ShardHistory } from "../files/history.ts";

export function allReads(store: SegmentStore, shard: ShardId, history: ShardHistory): unknown {
  const text = (payload: Uint8Array): string => Buffer.from(payload).toString("latin1");
  const streams = [...history.streams.values()].map(({ name, streamNo, keys, entries }) => {
    const lanes = [...new Set(entries.map(({ lane }) => lane))];
    const shown = (list: ReturnType<SegmentStore["readForward"]>) =>
      list.map((entry) => ({ ...entry, payload: text(entry.payload) }));
    return {
      name,
      head: store.head(shard, name),
      named: store.streamName(shard, streamNo),
      cells: [...store.cells(shard, name)].map(([key, value]) => [key, text(value)]),
      entries: shown(store.readForward(shard, name, 0 as Seq, 100_000)),
      lanes: lanes.map((lane) => [
        shown(store.readLaneForward(shard, name, lane, 3 as Seq, 7)),
        shown(store.readLaneBackward(shard, name, lane, 100_000 as Seq, 7)),
      ]),
      keys: [...keys.keys(), "unknown"].map((key) => [key, store.findKey(shard, name, key)]),
    };
  });
  const since = [0, history.offset >> 1].map((offset) => store.streamsSince(shard, offset as Offset));
  return { extent: store.reach(shard), streams, since };
}
