/** The account service's view of users, each at their home. */
import { userAddress, type UserId } from "../../domain/address.ts";
import { CLOSE } from "../../protocol/codes.ts";
import { createUser } from "./create-user.ts";
import { writeUserCells } from "../durable.ts";
import type { Shard } from "../shard.ts";
import type { UserCells } from "../services.ts";

/** @param home the shard of a user. It throws AppError unavailable while the shard is not open. */
export function createUserCells(home: (user: UserId) => Shard): UserCells {
  return {
    async load(user) {
      const { users, turns } = home(user);
      return (users.peek(user) ?? (await turns.run(users.steps(user)))) !== undefined;
    },
    cell(user, key) {
      const address = userAddress(user);
      return home(user).logFor(address).cell(address, key);
    },
    cellsWithPrefix(user, prefix) {
      const address = userAddress(user);
      const found = new Map<string, Uint8Array>();
      const all = home(user).logFor(address).snapshot(address)?.cells() ?? [];
      for (const [key, value] of all) if (key.startsWith(prefix)) found.set(key, value);
      return found;
    },
    create: async (user, cells) => createUser(home(user), user, cells),
    write: async (user, cells) => writeUserCells(home(user), user, cells),
    closeSessions(user, device) {
      for (const session of home(user).users.peek(user)?.sessions ?? []) {
        if (session.device === device) session.close(CLOSE.loggedOut, "this device was logged out");
      }
    },
  };
}
