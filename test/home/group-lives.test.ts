/**
 * An id of a group that nobody is in any more can be used again: nobody ever sees an entry of a life in which they were
 * not, seqs go on, and devices find their way, whatever happened in between.
 */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { groupAddress } from "../../src/domain/address.ts";
import { randomFrom } from "../support/random.ts";
import { SEED, seeded } from "../support/seed.ts";
import { IDS, Lives, PEOPLE } from "./group-lives.ts";

const who = fc.constantFrom(...PEOPLE);
/** One of them as a rule, so that it has many lives. */
const id = fc.constantFrom(IDS[0]!, IDS[0]!, IDS[0]!, IDS[1]!);
const of = <Kind extends string>(kind: Kind) => fc.record({ kind: fc.constant(kind), id, who });
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("create" as const),
      id,
      who,
      others: fc.uniqueArray(who, { maxLength: 2 }),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("post" as const), id, who, times: fc.constantFrom(1, 1, 2, 40) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("end" as const), id, byLeaving: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("add" as const), id, who, user: who }) },
  { weight: 4, arbitrary: of("leave") },
  { weight: 2, arbitrary: of("dissolve") },
  { weight: 4, arbitrary: of("comeBack") },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("mark" as const), id, who, share: fc.constantFrom(0.1, 0.5, 1) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("poll" as const), who, isNew: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constantFrom(...(["flush", "restart", "crash"] as const).map((kind) => ({ kind }))) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(lives: Lives, one: Step, random: ReturnType<typeof randomFrom>): Promise<void> {
  switch (one.kind) {
    case "create":
      return lives.create(one.id, one.who, one.others);
    case "add":
      return lives.add(one.id, one.who, one.user);
    case "post":
      return lives.post(one.id, one.who, one.times);
    case "end":
      return lives.end(one.id, one.byLeaving);
    case "mark":
      return lives.mark(one.id, one.who, one.share);
    case "poll":
      return lives.poll(one.who, one.isNew);
    case "flush":
      return lives.shards.flush();
    case "restart":
      await lives.shards.restart();
      return lives.attach();
    case "crash":
      await lives.shards.crash(random);
      return lives.attach();
    default:
      return lives[one.kind](one.id, one.who);
  }
}

test("lives leave no cells behind, however many there were and whoever was in them", async () => {
  const lives = new Lives();
  await lives.begin();
  const [club] = IDS;
  const address = groupAddress(club!);
  const sizes = new Set<number>();
  for (let n = 0; n < 60; n++) {
    await lives.create(club!, PEOPLE[n % 4]!, [PEOPLE[(n + 1) % 4]!]);
    await lives.post(club!, PEOPLE[n % 4]!, 2);
    await lives.mark(club!, PEOPLE[(n + 1) % 4]!, 1);
    await lives.end(club!, n % 3 === 0);
    await lives.shards.flush();
    if (n >= 20) sizes.add(lives.shards.host.log(address).cells(address).size);
    if (n === 40) await lives.shards.restart();
  }
  // Of the group itself, and the marks of two members.
  expect(Math.max(...sizes)).toBeLessThanOrEqual(5);
  expect(lives.shards.host.groups.get(address)!.marks.size).toBeLessThanOrEqual(2);
  await lives.shards.close();
});

test("nobody ever sees an entry of a life of a group in which they were not, and seqs strictly rise", async () => {
  const property = fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 80 }), async (steps) => {
    const lives = new Lives();
    const random = randomFrom(SEED);
    await lives.begin();
    for (const one of steps) {
      lives.shards.wallMs += 1000;
      await take(lives, one, random);
      await lives.shards.host.store.idle();
      await lives.expectAll();
    }
    for (const user of PEOPLE) for (const isNew of [false, true]) await lives.poll(user, isNew);
    await lives.shards.close();
  });
  await fc.assert(property, seeded(30));
  expect.hasAssertions();
}, 120_000);
