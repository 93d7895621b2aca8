import type { Steps } from "../../base/steps.ts";
import { nameOf, type UserId } from "../../domain/address.ts";
import { readProfile } from "../state/account-cells.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

/** A user with a profile exists. The user is loaded, since the caller is about to write to it. */
export function* answerUser(shard: Shard, { user }: Questions["user"]): Steps<Answers["user"]> {
  const name = nameOf(user) as UserId;
  const state = shard.users.peek(name) ?? (yield* shard.users.steps(name));
  const profile = state?.log.cell(user, "profile");
  return profile === undefined ? undefined : { displayName: readProfile(name, profile).displayName };
}
