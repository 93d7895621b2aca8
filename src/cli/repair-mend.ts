/**
 * The part of `parley repair` that knows what streams mean: it opens the repaired copy as a server would, but serves
 * nobody.
 */
import { join } from "node:path";
import { systemClock } from "../base/clock.ts";
import { loadOrCreateKey } from "../base/key-file.ts";
import { createLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { DEFAULT_LIMITS } from "../domain/limits.ts";
import { ID_KEY_BYTES, MessageIds } from "../domain/message-id.ts";
import { mend } from "../node/mend/mend.ts";
import type { MendNote } from "../node/mend/notes.ts";
import { ShardHost } from "../node/shard-host.ts";
import type { RepairOfStore } from "../../storage/tools/repair/repair.ts";
import type { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import type { DataDirectory } from "./data-directory.ts";
import type { Io } from "./io.ts";

/** @param data the repaired copy. @returns notes about accounts and groups, for people */
export async function mendRepaired(data: DataDirectory, { shards, left }: RepairOfStore, io: Io): Promise<MendNote[]> {
  if (shards.length === 0) return [];
  // The report lists shards that stay closed, so no lines are needed here.
  const say = left.length > 0 ? (): void => {} : io.stderr;
  return await withHost(data.held, say, (host) => mend(host, shards, systemRandom));
}

/** Opens the host without the keeper, which would offer handoffs before anything is mended. */
async function withHost<T>(held: HeldDirectory, say: Io["stderr"], work: (host: ShardHost) => Promise<T>): Promise<T> {
  const clock = systemClock;
  const logger = createLogger("error", say, clock.now, held.named);
  const ids = new MessageIds(await loadOrCreateKey(join(held.at, "id.key"), ID_KEY_BYTES, systemRandom));
  let failure: Error | undefined;
  const ports = { clock, ids, limits: DEFAULT_LIMITS, logger };
  const host = await ShardHost.open({ directory: held.at, held, damage: "close" }, ports, (error) => (failure = error));
  try {
    const result = await work(host);
    host.ranks.end();
    await host.store.flushAll(() => false);
    if (failure !== undefined) throw failure;
    return result;
  } finally {
    host.stop();
    await host.store.close();
  }
}
