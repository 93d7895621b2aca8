import { answered, type Steps } from "../../base/steps.ts";
import { nameOf, type UserAddress } from "../../domain/address.ts";
import { refusalOf } from "../refusal-of.ts";
import type { Shard } from "../shard.ts";

/** The display name of a user. The user id if there is none, or if it cannot be read now. */
export function* displayName(shard: Shard, address: UserAddress): Steps<string> {
  try {
    const profile = yield* answered(shard.router.ask("profile", address, { user: address }));
    return profile?.displayName ?? nameOf(address);
  } catch (error) {
    if (refusalOf(error) === undefined) throw error;
    return nameOf(address);
  }
}
