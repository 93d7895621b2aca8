/** A name becomes a user: decided at the shard of the name alone. Of two who ask at the same time one gets it, wherever they ask. */
import { AppError } from "../../base/errors.ts";
import type { UserId } from "../../domain/address.ts";
import { writeUserCells } from "../durable.ts";
import type { Shard } from "../shard.ts";

/** Resolves when it is durable. @param cells the profile is among them. @throws AppError user_taken; unavailable, with the reason */
export async function createUser(shard: Shard, user: UserId, cells: [key: string, value: Uint8Array][]): Promise<void> {
  const known = shard.users.peek(user) ?? (await shard.turns.run(shard.users.steps(user)));
  if (known !== undefined || shard.creating.has(user))
    throw new AppError("user_taken", `user ${user} is there already; choose another name`);
  shard.mustAcceptWrites();
  shard.creating.add(user);
  try {
    await writeUserCells(shard, user, cells);
  } finally {
    shard.creating.delete(user);
  }
}
