import { nameOf, type Address } from "../domain/address.ts";
import type { ShardHost } from "../shard/shard-host.ts";

/** What a user calls themselves; the user id when nothing was said. */
export function displayName(host: ShardHost, address: Address): string {
  const cell = host.log(address).cell(address, "profile");
  if (cell === undefined) return nameOf(address);
  const profile = JSON.parse(Buffer.from(cell).toString("utf8")) as { displayName?: string };
  return profile.displayName ?? nameOf(address);
}
