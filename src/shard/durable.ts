/** A record as a promise, for everything that is not on the way of a message. */
import type { Outcome, ShardLog } from "../../storage/shard-log.ts";
import { unknownFate } from "./settle-send.ts";

/** Encodes one record and resolves when it is durable and applied. `applied` runs in log order, before anything behind it is applied. */
export function writeRecord(log: ShardLog, encode: (log: ShardLog) => void, applied: () => void = () => {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const outcome: Outcome = {
      committed() {
        applied();
        resolve();
      },
      failed: (error) => reject(unknownFate(error)),
    };
    log.begin();
    encode(log);
    log.end(outcome);
  });
}
