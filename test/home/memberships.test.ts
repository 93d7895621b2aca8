/** Memberships cross between shards: handoffs that are lost, repeated, late or overtaken, and crashes between the group's record and the member's. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { whenThere } from "../../src/base/later.ts";
import { AppError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { shardOf, userAddress, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../../src/domain/entries.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import type { Actor } from "../../src/home/services.ts";
import { viewerOf } from "../../src/home/authorization.ts";
import { joinedBy, leftBy } from "../../src/home/handoffs/last-membership-change.ts";
import { MembershipHandoffs } from "../../src/home/handoffs/membership-handoffs.ts";
import type { GroupWish } from "../../src/home/messages/ask.ts";
import type { Handoff } from "../../src/home/messages/handoff.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import type { Shard } from "../../src/home/shard.ts";
import type { Offset, Seq } from "../../storage/types.ts";
import type { Cursor } from "../../src/protocol/frames.ts";
import { createSync } from "../../src/home/reading/sync.ts";
import { additionsForTests } from "../support/additions.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { readsForTests } from "../support/reads.ts";
import { SEED } from "../support/seed.ts";
import { until } from "../support/wait.ts";
import { RestartedShards } from "./restarted-shards.ts";

const ANN = "ann" as UserId;
const BEN = "ben" as UserId;
const CAT = "cat" as UserId;
const CLUB = "#club" as GroupAddress;

/** What happens to a handoff of a membership on its way from the group's shard. */
type Fate = "arrives" | "lost" | "late" | "twice";

let shards: RestartedShards;
let groups: ReturnType<typeof createGroups>;
let fate: () => Fate;
/** Handoffs that are late. */
let late: (() => void)[];
/** Whether shards are in one log, so that memberships go along with the group's record. */
let isAlong: boolean;

beforeEach(async () => {
  fate = () => "arrives";
  late = [];
  isAlong = true;
  shards = new RestartedShards();
  await shards.begin([ANN], CLUB, [BEN, CAT]);
  groups = createGroups((user) => shards.host.home(user), systemRandom, additionsForTests());
  meddle();
});
afterEach(() => shards.close());

/** After each start. */
function meddle(): void {
  const shard = shards.host.shard(shardOf(CLUB)) as { router: ShardRouter };
  const inner = shard.router;
  shard.router = {
    ask: (kind, to, question) => inner.ask(kind, to, question),
    post: (to, group, post, reply) => inner.post(to, group, post, reply),
    cast: (cast) => inner.cast(cast),
    mayReach: (users, except) => inner.mayReach(users, except),
    handOffAlong(to, handoff, outcome) {
      if (!isAlong) return false;
      this.handOff(to, handoff, outcome);
      return true;
    },
    handOff(to, handoff, outcome) {
      const what = handoff.kind === "membership" ? fate() : "arrives";
      const copy: Handoff = handoff.kind === "membership" ? { ...plain(handoff) } : handoff;
      const arrive = (): void => inner.handOff(to, copy, outcome);
      if (what === "late" || what === "twice") late.push(arrive);
      if (what === "arrives" || what === "twice") arrive();
    },
  };
}

const plain = (handoff: Extract<Handoff, { kind: "membership" }>): Extract<Handoff, { kind: "membership" }> => {
  const { kind, group, user, change, seq, prev, at, isUnasked, epoch } = handoff;
  return { kind, group, user, change, seq, prev, at, isUnasked, epoch };
};

const actor = (user: UserId): Actor => ({ user, device: "phone" }) as Actor;
const clubShard = (): Shard => shards.host.shard(shardOf(CLUB));

/** What the group's log says of each user, in its order. */
function toldByGroup(user: UserId): string[] {
  return clubShard()
    .log.readForward(CLUB, 0 as Seq, 10_000)
    .flatMap((stored) => {
      const entry = readGroupEntry(stored);
      if (entry.kind !== "changed") return [];
      if (joinedBy(entry.detail).includes(user)) return [`joined ${stored.seq}`];
      return leftBy(entry.detail).includes(user) ? [`left ${stored.seq}`] : [];
    });
}

function toldByTimeline(user: UserId): string[] {
  const address = userAddress(user);
  return shards.host
    .home(user)
    .log.readForward(address, 0 as Seq, 10_000)
    .flatMap((stored) => {
      const entry = readTimelineEntry(stored);
      return entry.kind === "membership" && stored.lane === CLUB ? [`${entry.change} ${entry.groupSeq}`] : [];
    });
}

/** Nothing is lost any more: what is not confirmed is offered until it is. */
async function settled(): Promise<void> {
  fate = () => "arrives";
  await until("all is handed over", () => {
    shards.passedMs += 1000;
    shards.host.lookForHandoffs();
    return clubShard().ledger.isEmpty;
  });
  await shards.host.arrivalsIdle();
  await shards.host.store.idle();
}

function expectSame(): void {
  for (const user of [ANN, BEN, CAT]) expect([user, toldByTimeline(user)]).toEqual([user, toldByGroup(user)]);
}

test("one that is lost is offered again, until it is there once", async () => {
  fate = () => "lost";
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  expect(toldByGroup(BEN)).toEqual(["joined 2"]);
  expect(toldByTimeline(BEN)).toEqual([]);
  await settled();
  expectSame();
});

test("one for a shard in another log is handed over when the group's record is durable", async () => {
  isAlong = false;
  fate = () => {
    expect(toldByGroup(BEN)).toEqual(["joined 2"]);
    return "arrives";
  };
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  await settled();
  expectSame();
});

test("one that overtakes another is taken behind it, and copies change nothing", async () => {
  fate = () => "late";
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  await groups.removeMember(actor(ANN), CLUB, BEN);
  await groups.putMember(actor(ANN), CLUB, BEN, "admin");
  expect(late).toHaveLength(3);
  for (const arrive of late.toReversed()) arrive();
  await shards.host.store.idle();
  expect(toldByTimeline(BEN)).toEqual(["joined 2"]);
  for (const arrive of [...late, ...late]) arrive();
  await settled();
  expect(toldByTimeline(BEN)).toEqual(["joined 2", "left 3", "joined 4"]);
  for (const arrive of late) arrive();
  await shards.host.store.idle();
  expectSame();
});

test("one that a crash cut off from the group's record follows after the start", async () => {
  fate = () => "lost";
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  await groups.putMember(actor(ANN), CLUB, CAT, "member");
  await groups.removeMember(actor(CAT), CLUB, CAT);
  await shards.crash(randomFrom(SEED));
  expectSame();
  expect(toldByTimeline(CAT)).toEqual(["joined 3", "left 4"]);
});

test("who has just left is not put in again, though their own shard does not know yet; they can come back", async () => {
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  fate = () => "lost";
  await groups.removeMember(actor(BEN), CLUB, BEN);
  const put = groups.putMember(actor(ANN), CLUB, BEN, "member");
  expect(await put.catch(({ code }: { code: string }) => code)).toBe("forbidden");
  expect(shards.host.users.get(BEN)!.membership(CLUB)).toBeDefined();
  await groups.putMember(actor(BEN), CLUB, BEN, "member");
  await settled();
  expectSame();
  expect(toldByTimeline(BEN)).toEqual(["joined 2", "left 3", "joined 4"]);
});

test("who was removed does not come back by themselves, though their own shard does not know yet", async () => {
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  fate = () => "lost";
  await groups.removeMember(actor(ANN), CLUB, BEN);
  const back = groups.putMember(actor(BEN), CLUB, BEN, "member");
  expect(await back.catch(({ code }: { code: string }) => code)).toBe("not_a_member");
  await settled();
  expectSame();
});

test("who leaves, polls before their own shard knows, and comes back misses nothing of the group", async () => {
  await groups.putMember(actor(ANN), CLUB, BEN, "member");
  const sync = createSync((user) => shards.host.home(user), readsForTests());
  const poll = (cursor: Cursor) => whenThere(sync.poll(actor(BEN), cursor, 0, new AbortController().signal));
  const before = await poll(FROM_THE_BEGINNING);
  expect(before.cursor.groups[CLUB]!.seq).toBe(2);
  await shards.send(ANN, { to: CLUB, text: "said while he was in", ref: "r-1", retry: false });
  fate = () => "lost";
  await groups.removeMember(actor(BEN), CLUB, BEN);
  const between = await poll(before.cursor);
  expect([between.frames, between.more]).toEqual([[], false]);
  await groups.putMember(actor(BEN), CLUB, BEN, "member");
  fate = () => "arrives";
  await settled();
  const { frames } = await poll(between.cursor);
  const seqs = frames.map((frame) => ("seq" in frame && frame.t !== "membership" ? frame.seq : frame.t));
  expect(seqs).toEqual(["membership", "membership", 3, 4, 5]);
});

describe("over any faults and crashes", () => {
  const ROUNDS = Number(process.env["RUNS"] ?? 6);

  test.each(Array.from({ length: ROUNDS }, (_, n) => n))(
    "(%d) each timeline ends with what the group's log says of its user, once and in order",
    async (n) => {
      const random = randomFrom(SEED + n);
      const fates: Fate[] = ["arrives", "lost", "late", "twice"];
      for (let step = 0; step < 80; step++) {
        fate = () => fates[Math.floor(random() * fates.length)]!;
        isAlong = random() < 0.5;
        await change(random).catch((error: unknown) => expect(error).toBeInstanceOf(AppError));
        if (random() < 0.3) for (const arrive of late.splice(0).toSorted(() => random() - 0.5)) arrive();
        if (random() < 0.2) {
          shards.passedMs += 1000;
          shards.host.lookForHandoffs();
        }
        if (random() < 0.05) await crash(random);
      }
      for (const arrive of late.splice(0)) arrive();
      await settled();
      expectSame();
      expect(toldByGroup(BEN).length + toldByGroup(CAT).length).toBeGreaterThan(4);
    },
  );

  async function crash(random: Random): Promise<void> {
    late = [];
    await shards.crash(random);
    meddle();
  }

  async function change(random: Random): Promise<unknown> {
    const user = random() < 0.5 ? BEN : CAT;
    const kind = random();
    if (kind < 0.4) return groups.putMember(actor(ANN), CLUB, user, "member");
    if (kind < 0.6) return groups.removeMember(actor(user), CLUB, user);
    if (kind < 0.8) return groups.removeMember(actor(ANN), CLUB, user);
    if (kind < 0.9) return groups.putMember(actor(user), CLUB, user, "member");
    await groups.dissolve(actor(ANN), CLUB);
    return groups.create(actor(ANN), { id: "club" as GroupId, name: "Again", members: [user] });
  }
});

describe("what is asked again, since its answer was lost,", () => {
  const head = (): number => shards.host.groups.get(CLUB)!.headSeq;
  const ask = async (by: UserId, call: string, wish: GroupWish) => {
    const shard = shards.host.home(by);
    const viewer = viewerOf(shards.host.users.get(by)!, CLUB);
    return shard.router.ask("changeGroup", CLUB, { group: CLUB, call, by: viewer, wish });
  };
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      ({ code }: { code: string }) => code,
    );
  const restart = (): Promise<void> => shards.crash(randomFrom(SEED));
  const between: [string, () => Promise<void>][] = [
    ["at once", async () => {}],
    ["after a restart", restart],
  ];

  test.each(between)("%s, begins no second group, and tells of the one that was begun", async (_, pass) => {
    const group = "#crew" as GroupAddress;
    const question = { group, epoch: "e-crew", by: ANN, name: "Crew", members: [ANN, BEN] };
    const create = async (epoch = question.epoch) =>
      shards.host.home(ANN).router.ask("createGroup", group, { ...question, epoch });
    const [one, other] = await Promise.all([create(), create()]);
    expect(other).toEqual(one);
    await pass();
    expect(await create()).toEqual(one);
    expect(one.head.seq).toBe(1);
    expect(await codeOf(create("e-other"))).toBe("group_taken");
    await groups.dissolve(actor(ANN), group);
    await pass();
    expect(await create()).toMatchObject({ head: { seq: 2 }, members: [] });
    expect(shards.host.groups.get(group)!.isOver).toBe(true);
    await groups.create(actor(CAT), { id: "crew" as GroupId, name: "Mine", members: [] });
    await pass();
    expect(await codeOf(create())).toBe("group_taken");
    expect([...shards.host.groups.get(group)!.members.keys()]).toEqual([CAT]);
  });

  const wishes: [string, UserId, GroupWish][] = [
    ["settings", ANN, { kind: "settings", name: "Other", keepDays: 7 }],
    ["somebody who is put in", ANN, { kind: "putMember", user: CAT, role: "member" }],
    ["a role", ANN, { kind: "putMember", user: BEN, role: "admin" }],
  ];

  test.each(between.flatMap(([when, pass]) => wishes.map((wish) => [when, ...wish, pass] as const)))(
    "%s, changes nothing more: %s",
    async (_, what, by, wish, pass) => {
      await groups.putMember(actor(ANN), CLUB, BEN, "member");
      const { group } = await ask(by, "one", wish);
      const changed = head();
      await pass();
      expect((await ask(by, "one", wish)).group).toEqual(group);
      expect([what, head()]).toEqual([what, changed]);
      expect(changed).toBeGreaterThan(2);
    },
  );

  test.each(between)("%s, changes nothing more: somebody who comes back", async (_, pass) => {
    await groups.putMember(actor(ANN), CLUB, BEN, "member");
    await groups.removeMember(actor(BEN), CLUB, BEN);
    await ask(BEN, "one", { kind: "comeBack" });
    await pass();
    await ask(BEN, "one", { kind: "comeBack" });
    expect(toldByGroup(BEN)).toEqual(["joined 2", "left 3", "joined 4"]);
  });

  test("is answered as before: who was removed, and has been put in again since, stays", async () => {
    await groups.putMember(actor(ANN), CLUB, BEN, "member");
    const one = await ask(ANN, "one", { kind: "removeMember", user: BEN });
    expect(await ask(ANN, "one", { kind: "removeMember", user: BEN })).toEqual(one);
    await groups.putMember(actor(ANN), CLUB, BEN, "member");
    expect(await ask(ANN, "one", { kind: "removeMember", user: BEN })).toEqual(one);
    expect(toldByGroup(BEN)).toEqual(["joined 2", "left 3", "joined 4"]);
    const end = await ask(ANN, "end", { kind: "dissolve" });
    expect(await ask(ANN, "end", { kind: "dissolve" })).toEqual(end);
    expect(head()).toBe(5);
  });

  test("is refused as before, though it would not be by now", async () => {
    const put: GroupWish = { kind: "putMember", user: CAT, role: "member" };
    await groups.putMember(actor(ANN), CLUB, BEN, "member");
    expect(await codeOf(ask(BEN, "one", put))).toBe("forbidden");
    await groups.putMember(actor(ANN), CLUB, BEN, "admin");
    expect(await codeOf(ask(BEN, "one", put))).toBe("forbidden");
    await ask(BEN, "two", put);
    expect(toldByGroup(CAT)).toEqual(["joined 4"]);
  });

  test("after a restart, hears that the group is over, or that the user is in it no more", async () => {
    await groups.putMember(actor(ANN), CLUB, BEN, "member");
    await ask(ANN, "one", { kind: "removeMember", user: BEN });
    await restart();
    expect(await codeOf(ask(ANN, "one", { kind: "removeMember", user: BEN }))).toBe("not_found");
    await ask(ANN, "two", { kind: "dissolve" });
    await restart();
    const again = ask(ANN, "two", { kind: "dissolve" });
    expect(await again.catch(({ message }: Error) => message)).toBe("#club: the group was dissolved");
    expect(head()).toBe(4);
  });
});

test("those of a thousand members are handed over a few in a step", () => {
  const users = Array.from({ length: 1000 }, (_, n) => `user-${n}` as UserId);
  let handed = 0;
  const router = { handOffAlong: () => handed++ >= 0 } as unknown as ShardRouter;
  const detail = { change: "dissolved", by: ANN, at: 1, members: users } as const;
  const change = {
    group: CLUB,
    epoch: "e",
    seq: 2 as Seq,
    detail: { ...detail, members: users },
    prevOf: () => 1 as Seq,
  };
  const steps = new MembershipHandoffs({ router } as Shard, change, 1 as Offset).handOverAlong();
  let most = 0;
  for (let before = 0, isDone = false; !isDone; before = handed) {
    isDone = steps.next().done === true;
    most = Math.max(most, handed - before);
  }
  expect(handed).toBe(1000);
  expect(most).toBeLessThan(100);
});
