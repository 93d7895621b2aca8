/**
 * A start and a stop without sockets: what the log holds is brought into the shards' files. The cells that go with it are derived by those who know what
 * entries mean, so the whole host is opened.
 */
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { loadOrCreateKey } from "../base/key-file.ts";
import { createLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { DEFAULT_LIMITS } from "../domain/limits.ts";
import { ID_KEY_BYTES, MessageIds } from "../domain/message-id.ts";
import { ShardKeeper } from "../node/shard-keeper.ts";
import type { Io } from "./io.ts";

/** The caller has taken the directory. */
export async function flushData(directory: string, io: Io): Promise<void> {
  const clock = systemClock;
  const logger = createLogger("warn", io.stderr, clock.now);
  const ids = new MessageIds(await loadOrCreateKey(join(directory, "id.key"), ID_KEY_BYTES, systemRandom));
  const keeper = await ShardKeeper.open({ directory }, { clock, ids, limits: DEFAULT_LIMITS, logger });
  await keeper.close(Number.POSITIVE_INFINITY);
}
