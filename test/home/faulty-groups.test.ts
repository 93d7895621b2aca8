/** Groups are changed while what crosses between shards is lost, repeated, late and out of order, and while everything is killed and started again. */
import { expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { nextTurn } from "../../src/base/steps.ts";
import { systemRandom } from "../../src/base/random.ts";
import {
  groupAddress,
  nameOf,
  shardOf,
  userAddress,
  type GroupAddress,
  type GroupId,
  type UserId,
} from "../../src/domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import type { Actor } from "../../src/home/services.ts";
import { joinedBy, leftBy } from "../../src/home/handoffs/last-membership-change.ts";
import type { Seq } from "../../storage/types.ts";
import { additionsForTests } from "../support/additions.ts";
import { FaultyRouter } from "../support/faulty-router.ts";
import { FaultyWire } from "../support/faulty-wire.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { ID_KEY, RestartedShards } from "./restarted-shards.ts";

const PEOPLE = ["ann", "ben", "cat", "dan"] as UserId[];
const CLUB = "#club" as GroupAddress;
const GROUPS = [CLUB, groupAddress("crew" as GroupId)];
const ROUNDS = Number(process.env["RUNS"] ?? 4);
const CALLS = 100;
const SETTLE_TURNS_MAX = 5000;

const actor = (user: UserId): Actor => ({ user, device: "phone" }) as Actor;

class FaultyGroups {
  readonly random: Random;
  readonly wire: FaultyWire;
  readonly shards: RestartedShards;
  readonly #router: FaultyRouter;
  readonly #groups: ReturnType<typeof createGroups>;
  /** Calls that were answered: what each has changed must be there, once. */
  answered = 0;
  #underWay = 0;

  constructor(seed: number) {
    this.random = randomFrom(seed);
    this.wire = new FaultyWire(this.random, (run) => void setImmediate(run), { lost: 0.05 });
    const ids = new MessageIds(ID_KEY);
    this.#router = new FaultyRouter(this.wire, () => ids);
    this.shards = new RestartedShards(2, {}, this.#router.around);
    this.#groups = createGroups((user) => this.shards.host.home(user), systemRandom, additionsForTests());
  }

  async begin(): Promise<void> {
    this.wire.isCalm = true;
    await this.shards.begin(PEOPLE.slice(0, 2), CLUB, PEOPLE.slice(2));
    await this.settle();
    this.wire.isCalm = false;
  }

  /** Nobody waits for it. */
  call(): void {
    this.#underWay++;
    void this.#call()
      .then(
        () => void this.answered++,
        (error: unknown) => expect(error).toBeInstanceOf(AppError),
      )
      .finally(() => this.#underWay--);
  }

  async crash(): Promise<void> {
    this.#router.down();
    await this.shards.crash(this.random);
  }

  async turns(count: number): Promise<void> {
    for (let turn = 0; turn < count; turn++) {
      this.shards.passedMs += 5;
      await nextTurn();
    }
  }

  async settle(): Promise<void> {
    this.wire.isCalm = true;
    for (let turn = 0; !this.#isSettled; turn++) {
      if (turn > SETTLE_TURNS_MAX) throw new Error("it does not settle");
      this.shards.host.lookForHandoffs();
      this.shards.passedMs += 200;
      await nextTurn();
    }
    await this.shards.host.store.idle();
  }

  get #isSettled(): boolean {
    return (
      this.#underWay === 0 && this.wire.isIdle && [...this.shards.host.shards()].every(({ ledger }) => ledger.isEmpty)
    );
  }

  #pick<One>(list: readonly One[]): One {
    return list[Math.floor(this.random() * list.length)]!;
  }

  async #call(): Promise<unknown> {
    const [by, user, group] = [this.#pick(PEOPLE), this.#pick(PEOPLE), this.#pick(GROUPS)];
    const kind = this.random();
    if (kind < 0.35) return this.#groups.putMember(actor(by), group, user, kind < 0.1 ? "admin" : "member");
    if (kind < 0.5) return this.#groups.removeMember(actor(by), group, user);
    if (kind < 0.65) return this.#groups.removeMember(actor(by), group, by);
    if (kind < 0.8) return this.#groups.putMember(actor(by), group, by, "member");
    if (kind < 0.85) return this.#groups.dissolve(actor(by), group);
    return this.#groups.create(actor(by), { id: nameOf(group) as GroupId, name: "New", members: [user] });
  }

  // ---- after `settle`

  expectAgreed(): void {
    for (const group of GROUPS)
      for (const user of PEOPLE) {
        const where = `${user} in ${group}`;
        expect([where, this.#toldByTimeline(user, group)]).toEqual([where, this.#toldByGroup(user, group)]);
        const isIn = this.shards.host.users.get(user)!.membership(group) !== undefined;
        expect([where, isIn]).toEqual([where, this.shards.host.groups.get(group)?.members.has(user) ?? false]);
      }
  }

  /** Nobody comes twice, or goes who is not there: each call has changed what it says once. */
  expectSound(): void {
    for (const group of GROUPS)
      for (const user of PEOPLE)
        for (const [n, told] of this.#toldByGroup(user, group).entries())
          expect([user, n, told.split(" ")[0]]).toEqual([user, n, n % 2 === 0 ? "joined" : "left"]);
  }

  changes(): number {
    return GROUPS.flatMap((group) => PEOPLE.map((user) => this.#toldByGroup(user, group).length)).reduce(
      (sum, count) => sum + count,
    );
  }

  #toldByGroup(user: UserId, group: GroupAddress): string[] {
    const { log } = this.shards.host.shard(shardOf(group));
    return log.readForward(group, 0 as Seq, 10_000).flatMap((stored) => {
      const entry = readGroupEntry(stored);
      if (entry.kind !== "changed") return [];
      if (joinedBy(entry.detail).includes(user)) return [`joined ${stored.seq}`];
      return leftBy(entry.detail).includes(user) ? [`left ${stored.seq}`] : [];
    });
  }

  #toldByTimeline(user: UserId, group: GroupAddress): string[] {
    const { log } = this.shards.host.home(user);
    return log.readForward(userAddress(user), 0 as Seq, 10_000).flatMap((stored) => {
      const entry = readTimelineEntry(stored);
      return entry.kind === "membership" && stored.lane === group ? [`${entry.change} ${entry.groupSeq}`] : [];
    });
  }
}

test.each(Array.from({ length: ROUNDS }, (_, n) => n))(
  "(%d) groups and timelines agree in the end on who came and went, in the same order",
  async (n) => {
    const world = new FaultyGroups(SEED + n);
    await world.begin();
    try {
      for (let call = 0; call < CALLS; call++) {
        world.call();
        await world.turns(Math.floor(world.random() * 12));
        if (world.random() < 0.04) await world.crash();
      }
      await world.turns(200);
      await world.settle();
      world.expectAgreed();
      world.expectSound();
      const { lost, repeated, late } = world.wire.counts;
      expect(Math.min(lost, repeated, late, world.answered)).toBeGreaterThan(0);
      expect(world.changes()).toBeGreaterThan(2);
    } finally {
      await world.shards.close();
    }
  },
);
