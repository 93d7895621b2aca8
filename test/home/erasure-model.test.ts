/** Random histories of messages, reads, erasures, flushes that hang, restarts and crashes: everybody sees the same, tombstones exactly where they belong. */
import { test } from "bun:test";
import fc from "fast-check";
import { userAddress, type Address, type UserId } from "../../src/domain/address.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { randomFrom } from "../support/random.ts";
import { ErasureModel, GROUP, USERS } from "./erasure-model.ts";
import { seeded } from "../support/seed.ts";

const user = fc.constantFrom(...USERS);
const to = fc.constantFrom<Address>(...USERS.map(userAddress), GROUP);
const says = {
  arbitrary: fc.record({ kind: fc.constant("say" as const), from: user, to, times: fc.integer({ min: 1, max: 12 }) }),
  weight: 8,
};
const step = fc.oneof(
  says,
  { arbitrary: fc.record({ kind: fc.constant("again" as const), which: fc.nat(1000) }), weight: 2 },
  {
    arbitrary: fc.record({
      kind: fc.constant("read" as const),
      user,
      other: user,
      part: fc.double({ min: 0, max: 0.999, noNaN: true }),
    }),
    weight: 2,
  },
  {
    arbitrary: fc.record({
      kind: fc.constant("erase" as const),
      user,
      cutOffAfter: fc.option(fc.nat(8), { nil: undefined }),
    }),
    weight: 2,
  },
  { arbitrary: fc.record({ kind: fc.constant("keep" as const), newest: fc.nat(12) }), weight: 1 },
  {
    arbitrary: fc.record({
      kind: fc.constantFrom("flush" as const, "hold" as const, "restart" as const, "crash" as const),
    }),
    weight: 4,
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(model: ErasureModel, one: Step): Promise<void> {
  switch (one.kind) {
    case "say":
      for (let i = 0; i < one.times; i++) await model.say(one.from, one.to);
      return;
    case "again":
      return model.sayAgain(one.which);
    case "read":
      return model.read(one.user, one.other, one.part);
    case "erase":
      return model.erase(one.user, one.cutOffAfter);
    case "keep":
      return model.keep(one.newest);
    case "flush":
      return model.flush();
    case "hold":
      return model.holdFlush();
    case "restart":
      await model.restart();
      return model.expectAll();
    case "crash":
      await model.crash();
      return model.expectAll();
  }
}

test("whatever was said, read, erased, flushed and crashed, everybody sees the same history, dense, with tombstones where they belong", async () => {
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 40, size: "max" }),
    fc.integer({ min: 0 }),
    async (steps, seed) => {
      const model = new ErasureModel(randomFrom(seed));
      await model.begin();
      for (const one of steps) await take(model, one);
      await model.expectAll();
      await model.crash();
      await model.expectAll();
      for (let which = 0; which < model.refs.length; which++) await model.sayAgain(which);
      await model.expectAll();
      await model.close();
    },
  );
  await fc.assert(property, seeded(60));
}, 300_000);

test("nothing is erased while what it meant is on its way to the files, so a crash that loses the flush loses no count", async () => {
  const [ann, ben, cat] = USERS as [UserId, UserId, UserId];
  const model = new ErasureModel(randomFrom(1));
  await model.begin();
  // More than are folded without cells.
  for (let i = 0; i < CELLS_LAG_MAX + 8; i++) await model.say(i % 2 === 0 ? cat : ann, userAddress(ben));
  for (let i = 0; i < CELLS_LAG_MAX + 8; i++) await model.say(i % 2 === 0 ? cat : ben, userAddress(ann));
  model.holdFlush();
  await model.erase(ann, 20);
  await model.expectAll();
  await model.crash();
  await model.expectAll();
  await model.close();
});
