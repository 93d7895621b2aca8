/**
 * Creates a user. The shard of the name decides alone, so of two concurrent calls for one name exactly one succeeds, on
 * whatever node they arrive.
 */
import { AppError } from "../../base/errors.ts";
import type { UserId } from "../../domain/address.ts";
import { writeUserCells } from "../durable.ts";
import type { Shard } from "../shard.ts";

/**
 * Resolves when the user is durable. @param cells including the profile
 * @throws AppError user_taken; unavailable, with the reason
 */
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
