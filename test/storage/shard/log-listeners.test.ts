import { expect, test } from "bun:test";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { openStore } from "../log-fixture.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

test("one who throws when told keeps nobody behind from being told, nor what comes later from being written", async () => {
  const errors: unknown[] = [];
  const store = await openStore(new SimulatedDisk(), {}, { onListenerError: (error) => errors.push(error) });
  const log = store.shard(1 as ShardId);
  const stream = new StreamHandle("@a", log.head("@a"));
  const told: number[] = [];
  const append = (seq: number, committed: () => void) => {
    log.append({
      encode() {
        log.beginEntry(stream, "@b", "", seq as Seq, 16);
        log.writer.utf8(`entry ${seq}`);
        log.endEntry();
      },
      committed,
      failed: (error) => expect(error).toBeUndefined(),
    });
  };
  append(1, () => {
    throw new Error("a listener's own fault");
  });
  append(2, () => {
    told.push(2);
    append(4, () => told.push(4));
  });
  append(3, () => told.push(3));
  await store.idle();
  expect(told).toEqual([2, 3, 4]);
  expect(errors).toEqual([new Error("a listener's own fault")]);
  expect(log.readForward("@a", 0 as Seq, 10).map(({ seq }) => Number(seq))).toEqual([1, 2, 3, 4]);
  await store.close();
});
