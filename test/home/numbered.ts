/** Random histories of people who talk, join, leave, read, erase and are restarted, and what the log says of each. */
import { expect } from "bun:test";
import fc from "fast-check";
import { isGroup, userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { eraseRequested, finishErasure, requestErasure } from "../../src/home/erasing/erase-user.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { Facts } from "./facts.ts";
import { ADDRESSES, GROUPS, PEOPLE, Talk } from "./talk.ts";

/** Groups of everybody are too large for receipts. */
const RECEIPTS_MEMBERS_MAX = 3;
const NEVER = (): boolean => false;

const person = fc.constantFrom(...PEOPLE);
const address = fc.constantFrom(...ADDRESSES);
const group = fc.constantFrom(...GROUPS);
const part = fc.constantFrom(0.1, 0.4, 0.7, 1, 1);
export const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("say" as const),
      who: person,
      to: address,
      times: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 40 }), fc.constant(120)),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("membership" as const), group, who: person }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("role" as const), group, who: person, isAdmin: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("received" as const), who: person, to: address, part }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("read" as const), who: person, to: address, part }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("erase" as const), who: person }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("keep" as const), messages: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("dissolve" as const), group }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("again" as const), group, others: fc.uniqueArray(person) }) },
  { weight: 4, arbitrary: fc.constantFrom(...(["flush", "restart", "crash"] as const).map((kind) => ({ kind }))) },
);
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

export class Numbered {
  readonly talk = new Talk({ groupReceiptsMembersMax: RECEIPTS_MEMBERS_MAX });
  readonly facts = new Facts(PEOPLE, GROUPS, RECEIPTS_MEMBERS_MAX);
  readonly #random = randomFrom(SEED);

  async begin(): Promise<void> {
    await this.talk.begin();
    this.facts.learn(this.talk.host);
  }

  async take(one: Step): Promise<void> {
    this.talk.shards.wallMs += 1000;
    await this.#take(one);
    this.facts.learn(this.talk.host);
  }

  async expectAll(): Promise<void> {
    for (const user of PEOPLE) {
      const list = await this.talk.list(user);
      const named = new Map(list.map(({ conversation, messages: _, ...numbers }) => [conversation, numbers]));
      const expected = this.facts.listed(user).map((of): [string, unknown] => {
        const name = isGroup(of) ? this.facts.group(of).name : of.slice(1);
        return [of, { name, ...this.facts.numbers(user, of) }];
      });
      expect(named).toEqual(new Map(expected) as typeof named);
      const state = this.talk.host.users.get(user)!;
      expect(state.headSeq as number).toBe(this.facts.head(user));
      for (const of of GROUPS)
        expect(state.conversations.get(of)?.joinedSeq ?? 0).toBe(this.facts.joinedSeq(user, of) as never);
    }
    for (const of of GROUPS) {
      const { name, members, isDissolved, headSeq } = this.talk.group(of);
      expect({ name, members, isDissolved }).toEqual(this.facts.group(of) as never);
      expect(headSeq as number).toBe(this.facts.head(of));
    }
  }

  async #take(one: Step): Promise<void> {
    switch (one.kind) {
      case "say":
        if (this.talk.mayWrite(one.who, one.to)) await this.talk.say(one.who, one.to, one.times);
        return;
      case "membership":
        return this.#joinOrLeave(one.group, one.who);
      case "role":
        if (this.#isIn(one.group, one.who))
          await this.talk.change(one.group, { change: "role", user: one.who, role: one.isAdmin ? "admin" : "member" });
        return;
      case "received":
        return this.#received(one.who, one.to, one.part);
      case "read":
        return this.#read(one.who, one.to, one.part);
      case "erase":
        return this.#erase(one.who);
      case "keep":
        return this.#keep(one.messages);
      case "dissolve":
        if (this.facts.group(one.group).members.size > 0)
          await this.talk.change(one.group, {
            change: "dissolved",
            members: [...this.facts.group(one.group).members.keys()],
          });
        return;
      case "again":
        // The id of a group that nobody is in is free.
        if (this.facts.group(one.group).members.size === 0)
          await this.talk.again(one.group, [...new Set([PEOPLE[0]!, ...one.others])]);
        return;
      case "flush":
        return this.talk.shards.flush();
      case "restart":
        return this.talk.shards.restart();
      case "crash":
        return this.talk.shards.crash(this.#random);
    }
  }

  #isIn(of: GroupAddress, user: UserId): boolean {
    return this.facts.group(of).members.has(user);
  }

  async #joinOrLeave(of: GroupAddress, user: UserId): Promise<void> {
    if (this.facts.group(of).members.size === 0) return;
    await this.talk.change(of, { change: this.#isIn(of, user) ? "left" : "joined", user });
  }

  async #received(user: UserId, of: Address, share: number): Promise<void> {
    if (!isGroup(of)) {
      const seq = Math.ceil(this.facts.head(user) * share);
      await this.talk.received(user, seq);
      return this.facts.received(user, seq);
    }
    if (!this.#isIn(of, user)) return;
    const seq = Math.ceil(this.facts.head(of) * share);
    await this.talk.receivedIn(user, of, seq);
    this.facts.receivedIn(user, of, seq);
  }

  async #read(user: UserId, of: Address, share: number): Promise<void> {
    if (!this.facts.listed(user).includes(of)) return;
    const seq = Math.ceil(this.facts.head(isGroup(of) ? of : user) * share);
    await this.talk.read(user, of, seq);
    this.facts.read(user, of, seq);
  }

  /** Whether what is erased before anybody got it counts as delivered depends on what is in memory. */
  async #everybodyReceivesAll(): Promise<void> {
    for (const user of PEOPLE) await this.#received(user, userAddress(user), 1);
  }

  async #erase(user: UserId): Promise<void> {
    await this.#everybodyReceivesAll();
    const { host } = this.talk;
    await requestErasure(host.home(user), user);
    await eraseRequested(host.home(user), user, { isStopped: NEVER, tidy: async () => {} });
    await finishErasure(host.home(user), user);
  }

  async #keep(seconds: number): Promise<void> {
    await this.#everybodyReceivesAll();
    const from = this.talk.shards.wallMs - seconds * 1000;
    for (const of of [...PEOPLE.map(userAddress), ...GROUPS])
      await eraseBefore(this.talk.host.ownerOf(of), of, from, NEVER);
  }
}
