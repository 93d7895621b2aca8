import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RECENT_FORMAT } from "../../../storage/files/layers/recent-file.ts";
import { RecentWriter } from "../../../storage/files/flush/recent-writer.ts";
import { CODEC_ZSTD } from "../../../storage/encoding/packing.ts";
import { KnownNames } from "../../../storage/encoding/known-names.ts";
import { readFlushImage } from "../../../storage/files/flush/flush-image.ts";
import { openForReading } from "../../../storage/files/sqlite/handle-pool.ts";
import { recentPath } from "../../../storage/files/sqlite/paths.ts";
import type { Offset } from "../../../storage/types.ts";
import { chat, ShardHistory } from "./history.ts";

test("the write-ahead file is emptied also when a failed flush has closed the writer before", () => {
  const dir = mkdtempSync(join(tmpdir(), "recent-writer-"));
  const writer = new RecentWriter({ dir, recentBytesMax: 1 << 20, recentWalBytesMax: 1 << 20, keepsPositions: false });
  const history = new ShardHistory(3);
  chat(history, 20, 2);
  const job = history.job();
  writer.within(() =>
    writer.put(job, readFlushImage(job, 0 as Offset, new KnownNames()), -1, { codec: CODEC_ZSTD, level: 1 }),
  );
  // While somebody reads, the file stays when the writer goes.
  const reader = openForReading(recentPath(dir), RECENT_FORMAT, "written");
  try {
    const walBytes = (): number => statSync(`${recentPath(dir)}-wal`).size;
    reader.sql("SELECT * FROM shard").all();
    writer.abandon();
    expect(walBytes()).toBeGreaterThan(0);
    writer.emptyWal();
    expect(walBytes()).toBe(0);
  } finally {
    reader.close();
    writer.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
