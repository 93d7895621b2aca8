/**
 * Which addresses a user may look at. An address without a conversation gets the same answer whether it exists or not,
 * and a look at it costs as much as a message to it.
 */
import { AppError } from "../../base/errors.ts";
import { answered, type Steps } from "../../base/steps.ts";
import type { Address, UserAddress } from "../../domain/address.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import { takeSendTokens } from "../sending/send-tokens.ts";

/** @throws AppError rate_limited, or unavailable while writes are refused */
export function payForStrange(shard: Shard, user: UserState, address: Address): void {
  if (address !== user.address && !user.conversations.has(address)) takeSendTokens(shard, user, 1);
}

/** @throws AppError unknown_address */
export function* mustKnowUser(shard: Shard, user: UserState, address: UserAddress): Steps<void> {
  if (address === user.address || user.conversations.has(address)) return;
  const known = yield* answered(shard.router.ask("profile", address, { user: address }));
  if (known === undefined) throw new AppError("unknown_address", `${address}: there is no such user`);
}
