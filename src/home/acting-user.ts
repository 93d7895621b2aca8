import { AppError } from "../base/errors.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./state/user-state.ts";
import type { Actor } from "./services.ts";

/** The state of the calling user. @throws AppError unauthorized if the user is gone */
export function actingUser({ users }: Pick<Shard, "users">, actor: Actor): UserState {
  const user = users.get(actor.user);
  if (user === undefined)
    throw new AppError("unauthorized", `user ${actor.user} does not exist any more; register again`);
  return user;
}
