import { isGroup, nameOf, type Address, type UserId } from "../domain/address.ts";
import type { Shards } from "./shards.ts";

/** Brings a user or group to memory in steps, since it may be large. Whoever goes on in a later turn of the event loop asks for it again. */
export async function loadState({ turns, users, groups }: Shards, address: Address): Promise<void> {
  if (isGroup(address)) await turns.run(groups.steps(address));
  else await turns.run(users.steps(nameOf(address) as UserId));
}
