/** Loads states in steps, for code that then uses them in one turn of the event loop. */
import type { Steps } from "../../base/steps.ts";
import type { UserId } from "../../domain/address.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";

/**
 * Whether this is still the user's state. Between two turns of the event loop, the state of a user without sessions may
 * be dropped and another one loaded.
 */
export const isLoaded = ({ users }: Pick<Shard, "users">, user: UserState): boolean => users.peek(user.user) === user;

/**
 * The user, with the heads of the user's groups: in the step in which this ends, asking for those heads reads little or
 * nothing. Undefined if there is no such user.
 */
export function* userWithGroupHeads(shard: Shard, name: UserId): Steps<UserState | undefined> {
  for (;;) {
    const user = yield* shard.users.steps(name);
    if (user === undefined) return undefined;
    yield* shard.mirrors.readHeads(user);
    if (isLoaded(shard, user)) return user;
  }
}
