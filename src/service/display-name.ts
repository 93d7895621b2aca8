import { nameOf, type UserAddress, type UserId } from "../domain/address.ts";
import { readProfile } from "../shard/account-cells.ts";
import { unlessDamaged } from "../shard/damage.ts";
import type { ShardHost } from "../shard/shard-host.ts";

/** What a user calls themselves; the user id when nothing was said, or cannot be read. */
export function displayName(host: ShardHost, address: UserAddress): string {
  const cell = unlessDamaged(() => host.log(address).cell(address, "profile"));
  const user = nameOf(address) as UserId;
  return cell === undefined ? user : readProfile(user, cell).displayName;
}
