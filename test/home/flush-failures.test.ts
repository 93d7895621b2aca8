/** A flush that fails is tried every second, for as long as a disk is full: the log of the program must not fill it, too. */
import { expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import type { UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { MemorySegments } from "../storage/files/memory-segments.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { until } from "../support/wait.ts";

test("a flush that goes on failing is told of at once, and then once a minute", async () => {
  const data = await dataDirectory();
  let movedMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + movedMs };
  const lines: string[] = [];
  const logger = createLogger("warn", (line) => void lines.push(line), clock.now);
  const segments = new MemorySegments();
  let tries = 0;
  segments.beforeFlush = async () => {
    tries++;
    throw new Error("database or disk is full");
  };
  const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS, logger };
  const storage = { directory: data.path, segments, memtableBytesMax: 1 << 16 };
  const host = await ShardHost.open(storage, ports, () => {});
  try {
    await writeUserCells(host.home("ann" as UserId), "ann" as UserId, [["large", new Uint8Array(2 << 20)]]);
    await until("it was tried again", () => tries >= 2);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("flush failed, trying again");
    movedMs = 60_000;
    const before = tries;
    await until("it was tried once more", () => tries > before);
    expect(lines).toHaveLength(2);
  } finally {
    segments.beforeFlush = async () => {};
    host.markTurns.stop();
    await host.store.close();
    data.remove();
  }
});
