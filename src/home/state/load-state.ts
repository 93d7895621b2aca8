/** Loads a user or group in steps, since it may be large. */
import type { Steps } from "../../base/steps.ts";
import { isGroup, nameOf, type Address, type UserId } from "../../domain/address.ts";
import type { GroupState } from "./group-state.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "./user-state.ts";

/** A user or group of the shard, in the step in which this ends. */
export function stateSteps({ users, groups }: Shard, address: Address): Steps<UserState | GroupState | undefined> {
  return isGroup(address) ? groups.steps(address) : users.steps(nameOf(address) as UserId);
}

/** Loads the state. A caller that uses it in a later turn of the event loop asks for it again. */
export async function loadState(shard: Shard, address: Address): Promise<void> {
  await shard.turns.run(stateSteps(shard, address));
}
