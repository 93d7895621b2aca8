/** A user or group that is loaded again, from derived cells and the entries after them, is what it was. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { userAddress, type Address, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { additionsForTests } from "../support/additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { HandClock } from "./hand-clock.ts";
import { dataDirectory, type DataDirectory } from "../support/data-directory.ts";
import { seeded } from "../support/seed.ts";

const PEOPLE = ["ann", "ben", "cat"] as UserId[];
const HIKERS = "#hikers" as GroupAddress;
const LIMITS = { ...DEFAULT_LIMITS, sendsBurst: 100_000 };

const actor = (user: UserId): Actor => ({ user, device: "phone" }) as Actor;

class World {
  readonly clock = new HandClock();
  readonly data: DataDirectory;
  host!: ShardHost;
  #refs = 0;
  #said = 0;

  private constructor(data: DataDirectory) {
    this.data = data;
  }

  static async open(): Promise<World> {
    const world = new World(await dataDirectory());
    await world.#open();
    for (const user of PEOPLE) {
      const profile = encodeProfile(user, { createdAt: world.clock.now(), displayName: user });
      await createUserCells((user) => world.host.home(user)).create(user, [["profile", profile]]);
    }
    const id = "hikers" as GroupId;
    await createGroups((user) => world.host.home(user), systemRandom, additionsForTests()).create(
      actor("ann" as UserId),
      {
        id,
        name: "Hikers",
        members: PEOPLE,
      },
    );
    return world;
  }

  async #open(): Promise<void> {
    const ports = { clock: this.clock, ids: new MessageIds(new Uint8Array(16)), limits: LIMITS };
    const logger = createLogger("error", () => {}, this.clock.now);
    this.host = await ShardHost.open({ directory: this.data.path }, { ...ports, logger }, () => {});
  }

  /** As after a crash: what is not flushed is in the log alone. */
  async reopen(): Promise<void> {
    await this.host.store.close();
    await this.#open();
  }

  async close(): Promise<void> {
    await this.host.store.close();
    this.data.remove();
  }

  flush(): Promise<void> {
    return this.host.store.flushAll(() => false);
  }

  async say(from: UserId, to: Address, ref = `r-${++this.#refs}`, retry = false) {
    if (++this.#said % 3 === 0) this.clock.advance(1000);
    return createMessaging((user) => this.host.home(user)).send(actor(from), { to, text: "hello", ref, retry });
  }

  /** Everything but the newest. */
  async erase(): Promise<void> {
    for (const address of [...PEOPLE.map(userAddress), HIKERS])
      await eraseBefore(this.host.ownerOf(address), address, this.clock.now() - 5000, () => false);
  }

  /** Cat leaves the group, or comes back. */
  async setMember(isIn: boolean): Promise<void> {
    const groups = createGroups((user) => this.host.home(user), systemRandom, additionsForTests());
    const [ann, , cat] = PEOPLE as [UserId, UserId, UserId];
    if (this.host.groups.get(HIKERS)!.members.has(cat) === isIn) return;
    if (isIn) await groups.putMember(actor(ann), HIKERS, cat, "member");
    else await groups.removeMember(actor(ann), HIKERS, cat);
  }

  /** All that a state says, without what belongs to this process. */
  picture(): unknown {
    const users = PEOPLE.map((name) => {
      const { epoch, headSeq, nextSeq, received, markCount, conversations } = this.host.users.get(name)!;
      const kept = [...conversations.values()]
        .toSorted((a, b) => (a.address < b.address ? -1 : 1))
        .map((state) => ({
          ...state,
          isDirty: false,
          offer: undefined,
          postedRefValue: undefined,
          confirmedThrough: 0,
          groupLife: 0,
        }));
      return { name, epoch, headSeq, nextSeq, received, markCount, kept };
    });
    const { epoch, name, createdAt, lastRank, isDissolved, headSeq, nextSeq, members } = this.host.groups.get(HIKERS)!;
    return { users, epoch, name, createdAt, lastRank, isDissolved, headSeq, nextSeq, members: new Map(members) };
  }

  async derivedCells(stream: Address): Promise<string[]> {
    return [...this.host.log(stream).cells(stream).keys()]
      .filter((key) => /^(head$|conv\/|member\/)/.test(key))
      .toSorted();
  }
}

type Step =
  | { kind: "say"; from: number; to: number; times: number }
  | { kind: "set clock"; days: number }
  | { kind: "in" | "out" | "flush" | "reopen" | "erase" };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("say" as const),
      from: fc.nat(2),
      to: fc.nat(3),
      times: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 40 })),
    }),
  },
  { weight: 3, arbitrary: fc.constantFrom<Step>({ kind: "flush" }, { kind: "reopen" }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("set clock" as const), days: fc.integer({ min: -9, max: 9 }) }),
  },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ kind: "in" }, { kind: "out" }, { kind: "erase" }) },
);

async function take(world: World, step: Step): Promise<void> {
  switch (step.kind) {
    case "say": {
      const from = PEOPLE[step.from]!;
      const to = step.to === PEOPLE.length ? HIKERS : userAddress(PEOPLE[step.to]!);
      if (to === HIKERS && !world.host.groups.get(HIKERS)!.members.has(from)) return;
      await Promise.all(Array.from({ length: step.times }, () => world.say(from, to)));
      return;
    }
    case "set clock":
      world.clock.wallAheadMs = step.days * 86_400_000;
      return;
    case "in":
    case "out":
      return world.setMember(step.kind === "in");
    case "erase":
      return world.erase();
    case "flush":
      return world.flush();
    case "reopen":
      return world.reopen();
  }
}

test("whatever happened and whenever it was flushed, a user and a group are loaded as they were", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24 }), async (steps) => {
      const world = await World.open();
      try {
        for (const next of steps) await take(world, next);
        const before = world.picture();
        await world.reopen();
        expect(world.picture()).toEqual(before);
      } finally {
        await world.close();
      }
    }),
    seeded(10),
  );
});

test("derived cells are written when entries enough have come, and with those that came before them", async () => {
  const world = await World.open();
  const ann = "@ann" as Address;
  const say = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await world.say("ann" as UserId, "@ben" as Address);
    await world.flush();
  };
  await world.say("ann" as UserId, "@cat" as Address);
  await say(CELLS_LAG_MAX - 3);
  expect(await world.derivedCells(ann)).toEqual([]);
  await say(1);
  expect(await world.derivedCells(ann)).toEqual(["conv/#hikers", "conv/@ben", "conv/@cat", "head"]);
  await world.reopen();
  expect(world.host.users.get("ann" as UserId)!.headSeq as number).toBe(CELLS_LAG_MAX);
  await world.close();
});

test("derived cells tell the rank of the newest entry, also one that no time says", async () => {
  const world = await World.open();
  const [ann] = PEOPLE as [UserId];
  const ranks = () => [
    world.host.groups.get(HIKERS)!.lastRank,
    world.host.users.get(ann)!.conversation("@ben" as Address).lastRank,
  ];
  world.clock.wallAheadMs = -86_400_000;
  for (let i = 0; i < CELLS_LAG_MAX; i++) await world.say(ann, HIKERS);
  for (let i = 0; i < CELLS_LAG_MAX; i++) await world.say(ann, "@ben" as Address);
  await world.flush();
  const before = ranks();
  expect(before.map((rank) => rank % 256 > 0 && rank > world.clock.now() * 256)).toEqual([true, true]);
  await world.reopen();
  expect(await world.derivedCells(HIKERS)).toContain("head");
  expect(ranks()).toEqual(before);
  await world.close();
});

test("a ref that was posted to a group is found again for ever, also by those who have left it or came back", async () => {
  const world = await World.open();
  const cat = "cat" as UserId;
  const first = await world.say(cat, HIKERS, "post-1");
  await world.setMember(false);
  await world.flush();
  await world.reopen();
  const conflict = { code: "ref_conflict" };
  expect(await world.say(cat, "@ann" as Address, "post-1", true).catch((error: unknown) => error)).toMatchObject(
    conflict,
  );
  await world.setMember(true);
  const second = await world.say(cat, HIKERS, "post-2");
  await world.flush();
  await world.reopen();
  expect(await world.say(cat, HIKERS, "post-1", true)).toEqual({ message: first.message, duplicate: true });
  expect(await world.say(cat, HIKERS, "post-2", true)).toEqual({ message: second.message, duplicate: true });
  await world.close();
});
