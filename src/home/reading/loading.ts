/** States brought to memory in steps, for what then uses them in one turn of the event loop. */
import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

/** Whether this is still the user's state. It may be dropped between two turns of the event loop while nobody is connected, and another one loaded. */
export const isLoaded = ({ users }: Pick<Shard, "users">, user: UserState): boolean => users.peek(user.user) === user;

/**
 * The user, and the heads of the groups that the user is in: in the step in which this ends, asking for those reads little or nothing. Undefined when there is no such user.
 * @param formerToo the heads of groups that the user was in as well
 */
export function* userWithGroupHeads(shard: Shard, name: UserId, formerToo = false): Steps<UserState | undefined> {
  for (;;) {
    const user = yield* shard.users.steps(name);
    if (user === undefined) return undefined;
    yield* shard.mirrors.readHeads(user, formerToo);
    if (isLoaded(shard, user)) return user;
  }
}
