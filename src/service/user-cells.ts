/** The account service's view of users at their homes. */
import { AppError } from "../base/errors.ts";
import type { Steps } from "../base/steps.ts";
import { userAddress, type UserId } from "../domain/address.ts";
import { CLOSE } from "../protocol/codes.ts";
import { writeUserCells } from "../shard/durable.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserCells } from "./types.ts";

export function createUserCells(host: () => ShardHost): UserCells {
  const creating = new Set<UserId>();
  function* begin(shards: ShardHost, user: UserId): Steps<void> {
    const known = yield* shards.users.steps(user);
    if (known !== undefined || creating.has(user))
      throw new AppError("user_taken", `user ${user} is there already; choose another name`);
    shards.mustTakeWrites();
    creating.add(user);
  }

  return {
    async load(user) {
      const shards = host();
      return (shards.users.peek(user) ?? (await shards.turns.run(shards.users.steps(user)))) !== undefined;
    },
    cell: (user, key) => host().log(userAddress(user)).cell(userAddress(user), key),
    cellsWithPrefix(user, prefix) {
      const found = new Map<string, Uint8Array>();
      const all = host().log(userAddress(user)).snapshot(userAddress(user))?.cells() ?? [];
      for (const [key, value] of all) if (key.startsWith(prefix)) found.set(key, value);
      return found;
    },
    async create(user, cells) {
      const shards = host();
      await shards.turns.run(begin(shards, user));
      try {
        await writeUserCells(shards.home(user), user, cells);
      } finally {
        creating.delete(user);
      }
    },
    write: (user, cells) => writeUserCells(host().home(user), user, cells),
    closeSessions(user, device) {
      for (const session of host().users.peek(user)?.sessions ?? []) {
        if (session.device === device) session.close(CLOSE.loggedOut, "this device was logged out");
      }
    },
  };
}
