/**
 * Random histories of sends and repeats over clocks that are set, starts, crashes, flushes and users dropped from
 * memory: each ref is one message (G2).
 */
import { test } from "bun:test";
import fc from "fast-check";
import { randomFrom } from "../support/random.ts";
import { seeded } from "../support/seed.ts";
import { RefsModel, USERS } from "./refs-model.ts";

const user = fc.constantFrom(...USERS);
const to = fc.nat(USERS.length).map(RefsModel.address);
/** Few, so that they come again: with a counter behind a sign, behind a letter, behind nothing, and none. */
const ref = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(fc.constantFrom("a-", "b-", "m"), fc.nat(3)).map(([prefix, n]) => `${prefix}${n}`),
  },
  { weight: 1, arbitrary: fc.constantFrom("m", "a-007", "7") },
);
const send = fc.record({
  kind: fc.constant("send" as const),
  from: user,
  to,
  ref,
  text: fc.constantFrom("hello", "hello", "hello", "other"),
  retry: fc.constantFrom(false, false, false, true),
});
const step = fc.oneof(
  { weight: 12, arbitrary: send },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 1000, 30_000, 59_999, 61_000, 125_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("set" as const),
      ms: fc.constantFrom(-3_600_000, -125_000, 125_000, 3_600_000, 31_536_000_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constantFrom("flush" as const, "restart" as const, "crash" as const, "evict" as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("burst" as const), from: user, to, ref, count: fc.constantFrom(5, 1100) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(model: RefsModel, one: Step, seed: number): Promise<void> {
  switch (one.kind) {
    case "send":
      return model.send(one.from, one.to, one.ref, one.text, one.retry);
    case "pass":
      model.shards.passedMs += one.ms;
      model.shards.wallMs += one.ms;
      return;
    case "set":
      model.shards.wallMs += one.ms;
      return;
    case "flush":
      return model.shards.flush();
    case "restart":
      return model.shards.restart();
    case "crash":
      return model.crash(randomFrom(seed));
    case "evict":
      return model.evict();
    case "burst":
      return model.burst(one.from, one.to, one.ref, one.count);
  }
}

test("whatever is sent again, within a minute or marked, is the message that it was, stored once, whatever clocks, starts and memory do meanwhile", async () => {
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 20, maxLength: 60, size: "max" }),
    fc.nat(),
    async (steps, seed) => {
      const model = new RefsModel();
      await model.begin();
      for (const one of steps) await take(model, one, seed);
      model.expectStored();
      await model.shards.close();
    },
  );
  await fc.assert(property, { ...seeded(60), interruptAfterTimeLimit: 20_000 });
}, 60_000);
