import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { StepTurns } from "../../base/steps.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Connected } from "../connected.ts";
import type { ShardRouter } from "../messages/shard-router.ts";
import type { Shard } from "../shard.ts";

/** What mirrors are made of. */
export type MirrorParts = {
  /** Of this node. */
  shard(id: ShardId): Shard;
  connected: Connected;
  router(): ShardRouter;
  clock: Clock;
  turns: StepTurns;
  logger: Logger;
};
