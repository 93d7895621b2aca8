/** Where a log under test lives, and how it is opened there. */
import { expect } from "bun:test";
import type { CommitLog, LogHooks, LogReach } from "../../../storage/log/commit-log.ts";
import type { ShardId } from "../../../storage/types.ts";
import { Reading, type ShardUser, Told } from "./log-user.ts";

/** A place that has a log, and the means to disturb it. */
export type LogWorld = {
  /** A log over what is there, not begun. The one before it is closed, or lost in a crash. */
  make(hooks: LogHooks): CommitLog;
  /** Writes wait from now on; `release` lets them go. */
  hold(): void;
  release(): void;
  /** Resolves when a write waits. */
  held(): Promise<void>;
  /** The next write of this shard fails. With "written" it is there all the same. */
  failNext(shard: ShardId, does: "nothing" | "written"): void;
  /** A power cut: whatever is not durable is gone, and so is the log. */
  crash(): void;
  /** Another node takes the shard. Absent where that cannot be. */
  take?: (shard: ShardId) => void;
};

/** The first two share whatever a log shares among shards, the third does not, where that can be. */
export const SHARDS = [3, 6, 7].map((shard) => shard as ShardId);
export type OpenLog = { log: CommitLog; told: Told; read: Reading; users: Map<ShardId, ShardUser> };

/** As a store opens it. */
export async function openLog(world: LogWorld, marks?: ReadonlyMap<ShardId, LogReach>): Promise<OpenLog> {
  const told = new Told();
  const log = world.make(told);
  await log.contents();
  await log.begin();
  const read = new Reading(marks);
  await log.recover(read, "at once");
  await log.open();
  return { log, told, read, users: new Map(SHARDS.map((shard) => [shard, read.user(shard)])) };
}

/** Goes on after a failure, whichever way the log has for it. @returns what is open now */
export async function reopened(world: LogWorld, open: OpenLog, shard: ShardId): Promise<OpenLog> {
  const { log } = open;
  expect(await log.canReopen(shard)).toBe(true);
  if (log.failure() === undefined) {
    const read = new Reading();
    await log.reopenShard(shard, read);
    open.users.set(shard, read.user(shard));
    return { ...open, read };
  }
  await log.stop();
  return openLog({ ...world, make: (hooks) => log.reopen(hooks) });
}
