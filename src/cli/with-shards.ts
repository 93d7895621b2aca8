/**
 * Opens all shards without sockets, for commands that write to a directory that no server has open. At the end the log
 * is flushed into the shards' files. The whole host is opened, because only it can compute the derived cells that are
 * written with them.
 */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { systemClock } from "../base/clock.ts";
import { loadOrCreateKey } from "../base/key-file.ts";
import { createLogger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { DEFAULT_LIMITS } from "../domain/limits.ts";
import { ID_KEY_BYTES, MessageIds } from "../domain/message-id.ts";
import { ShardKeeper } from "../node/shard-keeper.ts";
import type { ShardHost } from "../node/shard-host.ts";
import { FlushError } from "../../storage/files/flush-error.ts";
import type { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import { leaveAtRest, missing, lockDataDirectory, type DataDirectory } from "./data-directory.ts";
import { FatalError } from "./fatal-error.ts";
import type { Io } from "./io.ts";
import { fatalFrom } from "./startup-errors.ts";

/** The caller has locked the directory. */
export const flushData = ({ held }: DataDirectory, io: Io): Promise<void> => withHost(held, io, async () => {});

/** Locks an existing directory, does the work over its shards, and leaves it at rest. @throws FatalError */
export async function withShards<T>(path: string, io: Io, work: (host: ShardHost) => Promise<T>): Promise<T> {
  const directory = resolve(path);
  if (!existsSync(directory)) throw missing(directory);
  const data = lockDataDirectory(directory);
  try {
    const result = await withHost(data.held, io, work);
    await leaveAtRest(data, io.stderr);
    return result;
  } catch (error) {
    // The work was refused, so the directory is intact.
    if (error instanceof FatalError) await leaveAtRest(data, io.stderr);
    const { named } = data.held;
    throw fatalFrom(error, { host: "", port: 0, data: data.path }, named) ?? flushFailed(error, named) ?? error;
  } finally {
    data.release();
  }
}

function flushFailed(error: unknown, named: (text: string) => string): FatalError | undefined {
  if (!(error instanceof FlushError)) return undefined;
  return new FatalError("failed", named(error.message), { hint: "nothing is lost; try again", cause: error });
}

async function withHost<T>(held: HeldDirectory, io: Io, work: (host: ShardHost) => Promise<T>): Promise<T> {
  const clock = systemClock;
  const logger = createLogger("warn", io.stderr, clock.now, held.named);
  const ids = new MessageIds(await loadOrCreateKey(join(held.at, "id.key"), ID_KEY_BYTES, systemRandom));
  const keeper = await ShardKeeper.open({ directory: held.at, held }, { clock, ids, limits: DEFAULT_LIMITS, logger });
  try {
    return await work(keeper.host());
  } finally {
    await keeper.close(Number.POSITIVE_INFINITY);
  }
}
