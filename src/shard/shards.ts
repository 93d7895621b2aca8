/**
 * The shards that this node owns, as commands see them: users and groups by name, the log each lives in, and what the node lends to all.
 * ShardHost is the one implementation; a cluster will put a second behind it, for users and groups that live elsewhere.
 */
import type { Clock } from "../base/clock.ts";
import type { StepTurns } from "../base/steps.ts";
import type { Logger } from "../base/logger.ts";
import type { Address, GroupAddress, UserId } from "../domain/address.ts";
import type { MessageIds } from "../domain/message-id.ts";
import type { Limits } from "../protocol/frames.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import type { ShardId } from "../../storage/types.ts";
import type { Ranks } from "./ranks.ts";
import type { GroupHeads } from "./group-heads.ts";
import type { GroupState } from "./group-state.ts";
import type { States } from "./state-table.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./user-state.ts";

export type Shards = {
  readonly clock: Clock;
  readonly ids: MessageIds;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly users: States<UserId, UserState>;
  readonly groups: States<GroupAddress, GroupState>;
  readonly groupHeads: Pick<GroupHeads, "of" | "forget">;
  readonly ranks: Ranks;
  /** Where work that reads much is done in steps. */
  readonly turns: StepTurns;
  shard(id: ShardId): Shard;
  /** The log of the shard that an address lives in. */
  log(address: Address): ShardLog;
  /** The user behind `@name`. */
  userAt(address: Address): UserState | undefined;
  /** Asks for a write of the log soon, although no record was appended yet. */
  schedule(): void;
};
