import type { Steps } from "../../base/steps.ts";
import { nameOf, type UserId } from "../../domain/address.ts";
import { readProfile } from "../state/account-cells.ts";
import type { Answers, Questions } from "../messages/ask.ts";
import type { Shard } from "../shard.ts";

// oxlint-disable-next-line require-yield -- nothing is loaded for it
export function* answerProfile(shard: Shard, { user }: Questions["profile"]): Steps<Answers["profile"]> {
  const profile = shard.logFor(user).cell(user, "profile");
  return profile && { displayName: readProfile(nameOf(user) as UserId, profile).displayName };
}
