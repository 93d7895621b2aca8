import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { StepTurns } from "../../base/steps.ts";
import type { Connected } from "../connected.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { ShardRouter } from "../messages/shard-router.ts";

/** What the mirrors of a node are made of. */
export type MirrorParts = {
  connected: Connected;
  router(): ShardRouter;
  clock: Clock;
  turns: StepTurns;
  logger: Logger;
  /** Whether groups of this shard are followed. Default: of all. */
  isFollowed?(shard: ShardId): boolean;
};
