/** What a shard has to hand over, and what of it is offered again. */
import { afterEach, expect, test } from "bun:test";
import { atOnce } from "../../src/base/steps.ts";
import { shardOf, userAddress, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { HandoffLedger, type Handed } from "../../src/home/handoffs/handoff-ledger.ts";
import { offerAgain } from "../../src/home/handoffs/handoffs.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import type { Offset, Seq } from "../../storage/types.ts";
import { RestartedShards } from "./restarted-shards.ts";

const [ann, ben, cat] = ["ann", "ben", "cat"] as [UserId, UserId, UserId];

class Record implements Handed {
  readonly offset: Offset;
  readonly stream = userAddress(ann);
  readonly seq: Seq;
  isConfirmed = false;

  constructor(offset: number) {
    this.offset = offset as Offset;
    this.seq = offset as Seq;
  }
}

test("a record that was forgotten before it was durable is not taken for handed over", () => {
  const ledger = new HandoffLedger(0 as Offset, 0 as Offset);
  const records = Array.from({ length: 10_001 }, (_, at) => new Record(at + 1));
  for (const record of records) ledger.add(record);
  const durable = 5000 as Offset;
  ledger.beginOffer(durable);
  for (const { offset } of records.slice(0, durable))
    ledger.add(Object.assign(new Record(offset), { isConfirmed: true }));
  ledger.endOffer();
  records.at(-1)!.isConfirmed = true;
  expect(ledger.through(10_001 as Offset)).toBe(durable);
  expect(ledger.isEmpty).toBe(false);
});

let shards: RestartedShards;
/** Nothing that is handed over to ben arrives. */
let isBenAway = false;

const aroundBen = (local: ShardRouter): ShardRouter => {
  const lose = (to: number): boolean => isBenAway && to === shardOf(userAddress(ben));
  return {
    handOffAlong: (to, handoff, outcome) => lose(to) || local.handOffAlong(to, handoff, outcome),
    handOff: (to, handoff, outcome) => (lose(to) ? undefined : local.handOff(to, handoff, outcome)),
    ask: (kind, to, question) => local.ask(kind, to, question),
    post: (to, group, post, reply) => local.post(to, group, post, reply),
    cast: (cast) => local.cast(cast),
    mayReach: (users, except) => local.mayReach(users, except),
  };
};

let refs = 0;
const say = (from: UserId, to: UserId) =>
  shards.send(from, { ref: `r-${++refs}`, to: userAddress(to), text: "hello", retry: false });

afterEach(() => shards?.close());

async function begin(): Promise<void> {
  isBenAway = false;
  shards = new RestartedShards(1000, {}, aroundBen);
  await shards.begin([ann, ben, cat], "#club" as GroupAddress);
}

test("what waits for one receiver does not have all that others got since offered again", async () => {
  await begin();
  const offers = (): number => atOnce(offerAgain(shards.host.home(ann)));
  await say(ann, ben);
  isBenAway = true;
  await say(ann, ben);
  for (let n = 0; n < 50; n++) await say(ann, cat);
  await say(ann, ben);
  expect(offers()).toBe(2);
  expect(offers()).toBe(2);
  // However long ben is away, and however long the messages are.
  expect(shards.host.home(ann).ledger.oldest).not.toHaveProperty("text");
  isBenAway = false;
  expect(offers()).toBe(2);
  await shards.host.store.idle();
  expect(shards.host.home(ben).users.get(ben)!.conversation(userAddress(ann)).incoming).toBe(3);
  expect(offers()).toBe(0);
});

test("the first message after an older version looks no further back than what may not be handed over", async () => {
  await begin();
  await say(ann, ben);
  for (let n = 0; n < 400; n++) await say(ben, ann);
  await shards.flush();
  const conversation = shards.host.home(ann).users.get(ann)!.conversation(userAddress(ben));
  conversation.sentPending = undefined;
  shards.asked.clear();
  await say(ann, ben);
  expect(shards.asked.get("readLaneBackward") ?? 0).toBeLessThan(3);
  expect(shards.host.home(ben).users.get(ben)!.conversation(userAddress(ann)).incoming).toBe(2);
});
