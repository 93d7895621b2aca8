/** An erasure whose record is encoded before a flush begins, and durable after that. */
import { expect, test } from "bun:test";
import { nextTurn } from "../../src/base/steps.ts";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { eraseEntries, gatherDirect } from "../../src/home/erasing/erasure.ts";
import type { Seq } from "../../storage/types.ts";
import { PEOPLE } from "./talk.ts";
import { WrittenBytes } from "./written-bytes.ts";

const [ANN, BEN, CAT, DAN] = PEOPLE as [UserId, UserId, UserId, UserId];
const texts = (count: number, text = "hello"): string[] => Array.from({ length: count }, () => text);

test("what it carries of conversations is written again by the next flush, so that a start knows their newest messages", async () => {
  const written = new WrittenBytes();
  const { shards } = written.talk;
  shards.memtableBytesMax = 20_000;
  await written.begin();
  await written.write(ANN, userAddress(BEN), texts(CELLS_LAG_MAX));
  await shards.flush();
  await written.write(ANN, userAddress(DAN), texts(1));
  const ann = written.user(ANN);
  const { flushes } = ann.log;
  const sends = written.write(ANN, userAddress(DAN), texts(CELLS_LAG_MAX, "x".repeat(1000)));
  await nextTurn();
  const { erasure } = gatherDirect(ann, userAddress(BEN), 0 as Seq, 6 as Seq, () => "erase");
  const erased = eraseEntries(written.host.home(ANN), ann, erasure);
  await sends;
  const hasBegunFlush = ann.log.isFlushing || ann.log.flushes > flushes;
  expect([hasBegunFlush, ann.erasures]).toEqual([true, 0]);
  await erased;
  await written.flushed();
  const newest = ann.conversation(userAddress(DAN)).lastSeq;
  await written.write(ANN, userAddress(CAT), texts(CELLS_LAG_MAX));
  await shards.restart();
  expect(written.user(ANN).conversation(userAddress(DAN)).lastSeq).toBe(newest);
  await shards.close();
});
