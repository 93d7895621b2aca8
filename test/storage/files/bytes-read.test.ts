/** What a look-up in `recent.db` reads of the file: the rows that it needs, not those that it passes on the way. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import { randomFrom } from "../../support/random.ts";
import { ShardHistory } from "./history.ts";

const SHARDS = 200;
const PAYLOAD = 6000;

/** Bytes that this process has read, whatever from. */
const bytesRead = (): number => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))![1]);

test.skipIf(process.platform !== "linux")(
  "one stream among many shards is found by reading little more than its page",
  async () => {
    const dir = mkdtempSync(join(tmpdir(), "bytes-read-"));
    try {
      const random = randomFrom(1);
      const noise = (): string =>
        Array.from({ length: PAYLOAD }, () => String.fromCharCode(33 + Math.floor(90 * random()))).join("");
      const histories = Array.from({ length: SHARDS }, (_, shard) => new ShardHistory(shard));
      const writing = openSegmentStore({ dir });
      writing.begin(true);
      for (const history of histories)
        history.record([{ kind: "entry", stream: "@alice", lane: "@bob", key: "", payload: noise() }]);
      await Promise.all(histories.map((history) => writing.flush(history.job())));
      await writing.close();
      const store = openSegmentStore({ dir });
      store.head(histories[0]!.shard, "@alice");
      const before = bytesRead();
      for (const { shard } of histories) expect(store.head(shard, "@alice")?.headSeq as number).toBe(1);
      expect((bytesRead() - before) / SHARDS).toBeLessThan(2.5 * PAYLOAD);
      await store.close();
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  },
);
