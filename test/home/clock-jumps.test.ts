/** No order and no number hangs on the clock on the wall: it may stand still, or jump by years, ahead and back. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { userAddress, type Address, type UserId } from "../../src/domain/address.ts";
import { randomFrom } from "../support/random.ts";
import { SEED, seeded } from "../support/seed.ts";
import { ADDRESSES, CLUB, CREW, GROUPS, PEOPLE, Talk } from "./talk.ts";

const YEAR_MS = 365 * 86_400_000;
const [ANN, BEN, CAT, DAN] = PEOPLE as [UserId, UserId, UserId, UserId];
const [TO_BEN, TO_CAT] = [userAddress(BEN), userAddress(CAT)];

const listed = async (talk: Talk, user: UserId, limit?: number): Promise<Address[]> =>
  (await talk.list(user, limit)).map(({ conversation }) => conversation as Address);

describe("the list of conversations is in the order in which things happened", () => {
  test("also when a clock that was a day ahead was put right in between", async () => {
    const talk = new Talk();
    await talk.begin();
    talk.shards.wallMs += 86_400_000;
    await talk.say(ANN, TO_BEN);
    await talk.say(ANN, CREW);
    talk.shards.wallMs -= 86_400_000;
    await talk.say(ANN, CLUB);
    await talk.say(ANN, TO_CAT);
    const expected = [TO_CAT, CLUB, CREW, TO_BEN];
    expect(await listed(talk, ANN)).toEqual(expected);
    await talk.shards.restart();
    expect(await listed(talk, ANN)).toEqual(expected);
    await talk.say(ANN, CREW);
    expect(await listed(talk, ANN)).toEqual([CREW, TO_CAT, CLUB, TO_BEN]);
    await talk.shards.close();
  });

  test.each(["restart", "crash"] as const)("also when the clock went back over a %s", async (how) => {
    const talk = new Talk();
    await talk.begin();
    talk.shards.wallMs += YEAR_MS;
    await talk.say(ANN, CREW);
    await talk.say(ANN, TO_CAT);
    if (how === "crash") await talk.shards.crash(randomFrom(1));
    else await talk.shards.restart();
    talk.shards.wallMs -= YEAR_MS;
    // Nothing of what was said before is loaded for it.
    await talk.say(DAN, CLUB);
    expect(await listed(talk, ANN)).toEqual([CLUB, TO_CAT, CREW]);
    await talk.say(ANN, TO_BEN);
    expect(await listed(talk, ANN)).toEqual([TO_BEN, CLUB, TO_CAT, CREW]);
    await talk.shards.close();
  });

  test("also within one millisecond, and of what one device sends without waiting", async () => {
    const talk = new Talk();
    await talk.begin();
    for (const order of [
      [TO_BEN, CLUB, TO_CAT, CREW],
      [CREW, CLUB, TO_CAT, TO_BEN],
      [CLUB, TO_CAT, CREW, TO_BEN],
      [TO_CAT, TO_BEN, CREW, CLUB],
    ]) {
      await Promise.all(order.map((to) => talk.say(ANN, to)));
      expect(await listed(talk, ANN)).toEqual(order.toReversed());
    }
    await talk.shards.close();
  });
});

test("while a list is paged it has each conversation once, in its place at the first page, whatever is said", async () => {
  const talk = new Talk();
  await talk.begin();
  for (const to of [TO_BEN, CLUB, userAddress(ANN), CREW]) await talk.say(ANN, to);
  const before = await listed(talk, ANN);
  for (const limit of [1, 2, 3]) {
    let turn = 0;
    const moving = [CREW, TO_CAT, TO_BEN, CLUB, userAddress(ANN), CLUB];
    const found = await talk.list(ANN, limit, async () => {
      for (let n = 0; n < 3; n++) await talk.say(ANN, moving[turn++ % moving.length]!);
      if (turn === 6) await talk.shards.restart();
    });
    const expected = limit === 1 ? before : await listed(talk, ANN);
    expect(found.map(({ conversation }) => conversation).toSorted()).toEqual(expected.toSorted() as string[]);
    if (limit === 1) expect(found.map(({ conversation }) => conversation)).toEqual(before as string[]);
  }
  await talk.shards.close();
});

const person = fc.constantFrom(...PEOPLE);
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant("say" as const), who: person, to: fc.constantFrom(...ADDRESSES) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("burst" as const), who: person }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("rename" as const), group: fc.constantFrom(...GROUPS) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("read" as const), who: person, part: fc.nat(99) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("log in" as const), who: person, device: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom("flush" as const, "restart" as const, "crash" as const) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** What is done, and the order of conversations that must come of it. */
class Happened {
  readonly talk = new Talk();
  readonly #random = randomFrom(SEED);
  /** When something happened last in each conversation of each user. */
  readonly #last = new Map<string, number>();
  #count = 0;

  async begin(): Promise<void> {
    await this.talk.begin();
    for (const group of GROUPS) this.#inGroup(group);
  }

  async take(one: Step): Promise<void> {
    switch (one.kind) {
      case "say":
        if (this.talk.mayWrite(one.who, one.to)) await this.#say(one.who, one.to);
        return;
      case "burst": {
        const to = ADDRESSES.filter((address) => this.talk.mayWrite(one.who, address));
        return void (await Promise.all(to.map((address) => this.#say(one.who, address))));
      }
      case "rename":
        this.#inGroup(one.group);
        return this.talk.change(one.group, { change: "renamed", name: `name ${this.#count}` });
      case "read":
        return this.#read(one.who, one.part);
      case "log in":
        return this.talk.logIn(one.who, `d${one.device}`);
      case "flush":
        return this.talk.shards.flush();
      case "restart":
        return this.talk.shards.restart();
      case "crash":
        return this.talk.shards.crash(this.#random);
    }
  }

  /** Everything that anybody is shown, times left out. */
  async shown(): Promise<unknown> {
    const all = [];
    for (const user of PEOPLE) {
      const list = await this.talk.list(user);
      expect(list.map(({ conversation }) => conversation)).toEqual(this.#expected(user));
      for (const limit of [1, 3]) expect(await this.talk.list(user, limit)).toEqual(list);
      all.push({
        user,
        devices: this.talk.devices(user),
        list: list.map((one) => ({ ...one, messages: one.messages.map((message) => ({ ...message, sentAt: 0 })) })),
      });
    }
    return all;
  }

  #say(who: UserId, to: Address): Promise<number[]> {
    const said = this.talk.say(who, to);
    const group = GROUPS.find((one) => one === to);
    if (group !== undefined) this.#inGroup(group);
    else {
      this.#last.set(`${who} ${to}`, ++this.#count);
      this.#last.set(`${to.slice(1)} ${userAddress(who)}`, this.#count);
    }
    return said;
  }

  #inGroup(group: Address): void {
    this.#count++;
    for (const user of PEOPLE) if (this.talk.mayWrite(user, group)) this.#last.set(`${user} ${group}`, this.#count);
  }

  async #read(who: UserId, part: number): Promise<void> {
    const list = await this.talk.list(who);
    const one = list[part % list.length];
    if (one !== undefined)
      await this.talk.read(who, one.conversation as Address, Math.ceil((one.lastSeq * part) / 100));
  }

  #expected(user: UserId): string[] {
    const own = [...this.#last].filter(([key]) => key.startsWith(`${user} `));
    return own.toSorted(([, a], [, b]) => b - a).map(([key]) => key.slice(user.length + 1));
  }
}

/** A whole number of years off the start, a few milliseconds, or not at all. */
const offset = fc.oneof(
  fc.integer({ min: -20, max: 20 }).map((years) => years * YEAR_MS),
  fc.constant(0),
  fc.integer({ min: -20, max: 20 }),
);
const timeline = fc.array(fc.tuple(step, offset), { minLength: 5, maxLength: 30 });

test("with a clock that jumps by years everybody is shown the order, numbers and devices of a steady one", async () => {
  const property = fc.asyncProperty(timeline, async (steps) => {
    const [steady, jumping] = [new Happened(), new Happened()];
    await Promise.all([steady.begin(), jumping.begin()]);
    const began = jumping.talk.shards.wallMs;
    for (const [one, offMs] of steps) {
      steady.talk.shards.wallMs += 60_000;
      jumping.talk.shards.wallMs = began + offMs;
      await steady.take(one);
      await jumping.take(one);
    }
    expect(await jumping.shown()).toEqual(await steady.shown());
    await Promise.all([steady.talk.shards.close(), jumping.talk.shards.close()]);
  });
  await fc.assert(property, seeded(25));
}, 120_000);

test("pages show the list of the first of them, whatever is said, set, stopped and killed in between", async () => {
  const property = fc.asyncProperty(timeline, timeline, person, fc.integer({ min: 1, max: 3 }), async (...drawn) => {
    const [before, between, user, limit] = drawn;
    const happened = new Happened();
    await happened.begin();
    const began = happened.talk.shards.wallMs;
    const take = async ([one, offMs]: [Step, number]): Promise<void> => {
      happened.talk.shards.wallMs = began + offMs;
      await happened.take(one);
    };
    for (const one of before) await take(one);
    const expected = await listed(happened.talk, user);
    const left = [...between];
    const found = await happened.talk.list(user, limit, async () => {
      for (const one of left.splice(0, 6)) await take(one);
    });
    expect(found.map(({ conversation }) => conversation)).toEqual(expected as string[]);
    await happened.talk.shards.close();
  });
  await fc.assert(property, seeded(25));
}, 120_000);
