/** A record as a promise, for everything except the way of a message. */
import { userAddress, type UserId } from "../domain/address.ts";
import { LogFailedError } from "../../storage/errors.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { unknownFate } from "./sending/settle-send.ts";
import type { Shard } from "./shard.ts";

/**
 * Encodes one record and resolves when it is durable and applied. `applied` runs in log order, before later records are
 * applied.
 * @throws what `encode` throws, at once and not by the promise: then nothing was appended
 */
export function writeRecord(
  log: ShardLog,
  encode: (log: ShardLog) => void,
  applied: () => void = () => {},
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const committed = (): void => {
    try {
      applied();
    } catch (error) {
      // The shard may have been closed in between; the caller has to learn of it too.
      reject(error);
      throw error;
    }
    resolve();
  };
  try {
    log.append({ encode: () => encode(log), committed, failed: (error) => reject(unknownFate(error)) });
  } catch (error) {
    // The shard was opened anew, and the caller has an object of before.
    throw error instanceof LogFailedError ? unknownFate(error) : error;
  }
  return promise;
}

/** Sets or clears (null) cells of a user of the shard, who need not exist yet, in one record. */
export function writeUserCells(
  shard: Shard,
  user: UserId,
  cells: [key: string, value: Uint8Array | null][],
): Promise<void> {
  const address = userAddress(user);
  const handle = shard.users.peek(user)?.handle ?? new StreamHandle(address, undefined);
  return writeRecord(shard.logFor(address), (log) => {
    for (const [key, value] of cells) log.putCell(handle, key, value);
  });
}
