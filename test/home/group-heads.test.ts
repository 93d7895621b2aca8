/** The head of a group that is not loaded is what the loaded group would say, whatever was posted, flushed and erased meanwhile. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { atOnce } from "../../src/base/steps.ts";
import { groupAddress, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { additionsForTests } from "../support/additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { GroupHeads } from "../../src/home/groups/group-heads.ts";
import { GroupState } from "../../src/home/state/group-state.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { Connected } from "../../src/home/connected.ts";
import { LocalMirrors } from "../../src/node/local-mirrors.ts";
import type { Shard } from "../../src/home/shard.ts";
import { LoadBudget } from "../../src/home/state/load-budget.ts";
import { StateTable } from "../../src/home/state/state-table.ts";
import { HandClock } from "./hand-clock.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { seeded } from "../support/seed.ts";

const ANN = { user: "ann", device: "phone" } as Actor;
const LIMITS = { ...DEFAULT_LIMITS, sendsBurst: 100_000 };
const GROUPS = ["hikers", "bikers", "readers"].map((id) => groupAddress(id as GroupId));

async function open(directory: string, clock: HandClock): Promise<ShardHost> {
  const logger = createLogger("error", () => {}, clock.now);
  const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: LIMITS, logger };
  return ShardHost.open({ directory }, ports, () => {});
}

/** As a host would tell that has none of the groups loaded. */
function headsOf(host: ShardHost): GroupHeads {
  const loaded = new StateTable<GroupAddress, GroupState>(
    (group) => GroupState.load(group, host.log(group)),
    () => true,
    new LoadBudget(0),
  );
  return new GroupHeads(loaded, (group) => host.log(group));
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant("post" as const),
    group: fc.constantFrom(...GROUPS),
    count: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({ kind: fc.constantFrom("flush" as const, "erase" as const, "reopen" as const) }),
);

const POSTED_AND_FLUSHED = [{ kind: "post" as const, group: GROUPS[0]!, count: 3 }, { kind: "flush" as const }];

test("heads of groups are told without loading them, over posts, flushes, erasures and restarts", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { maxLength: 3 }), { minLength: 2, maxLength: 6 }), async (rounds) => {
      const data = await dataDirectory();
      const clock = new HandClock();
      let host = await open(data.path, clock);
      try {
        const profile = encodeProfile(ANN.user, { createdAt: clock.now(), displayName: "Ann" });
        await createUserCells((user) => host.home(user)).create(ANN.user, [["profile", profile]]);
        for (const group of GROUPS)
          await createGroups((user) => host.home(user), systemRandom, additionsForTests()).create(ANN, {
            id: group.slice(1) as GroupId,
            name: group,
            members: [],
          });
        let heads = headsOf(host);
        let refs = 0;
        // Nobody asks between the steps of a round.
        for (const round of rounds) {
          for (const one of round) {
            if (one.kind === "post") {
              const post = () =>
                createMessaging((user) => host.home(user)).send(ANN, {
                  to: one.group,
                  text: "hello",
                  ref: `a-${++refs}`,
                  retry: false,
                });
              await Promise.all(Array.from({ length: one.count }, post));
            } else if (one.kind === "flush") await host.store.flushAll(() => false);
            else if (one.kind === "erase") {
              clock.nowMs += 1;
              for (const group of GROUPS) await eraseBefore(host.ownerOf(group), group, clock.now(), () => false);
            } else {
              await host.store.close();
              host = await open(data.path, clock);
              heads = headsOf(host);
            }
          }
          const user = host.users.get("ann" as UserId)!;
          for (const group of GROUPS) expectSame(heads, host, group);
          const ofHeads = new LocalMirrors(() => ({ heads }) as Shard, new Connected());
          atOnce(ofHeads.readHeads(user));
          for (const group of GROUPS) expect(heads.isAtHand(group)).toBe(true);
          for (const group of GROUPS) expectSame(heads, host, group);
        }
      } finally {
        await host.store.close();
        data.remove();
      }
    }),
    { ...seeded(10), interruptAfterTimeLimit: 10_000, examples: [[[[], POSTED_AND_FLUSHED, []]]] },
  );
}, 30_000);

function expectSame(heads: GroupHeads, host: ShardHost, address: GroupAddress): void {
  const told = heads.of(address)!;
  const { epoch, headSeq, erasedAt, handle } = host.groups.get(address)!;
  expect([told.address, told.epoch, told.headSeq, told.erasedAt, told.handle.streamNo]).toEqual([
    address,
    epoch,
    headSeq,
    erasedAt,
    handle.streamNo,
  ]);
}

test("of a group that was created anew the head is of its new life, whatever was known of the former one", async () => {
  const data = await dataDirectory();
  const clock = new HandClock();
  const host = await open(data.path, clock);
  const drop = (): void => host.forgetStates();
  try {
    const profile = encodeProfile(ANN.user, { createdAt: clock.now(), displayName: "Ann" });
    await createUserCells((user) => host.home(user)).create(ANN.user, [["profile", profile]]);
    const groups = createGroups((user) => host.home(user), systemRandom, additionsForTests());
    const hikers = { id: "hikers" as GroupId, name: "Hikers", members: [] };
    const { head: former } = await groups.create(ANN, hikers);
    drop();
    expect(host.groupHeads.of(GROUPS[0]!)).toMatchObject({ epoch: former.epoch, bornSeq: 1, headSeq: 1 });
    await groups.dissolve(ANN, GROUPS[0]!);
    const { head } = await groups.create(ANN, hikers);
    expect(head).toEqual({ epoch: expect.not.stringMatching(former.epoch), seq: 3 });
    drop();
    expect(host.groupHeads.of(GROUPS[0]!)).toMatchObject({ epoch: head.epoch, bornSeq: 3, headSeq: 3 });
  } finally {
    await host.store.close();
    data.remove();
  }
});

test("of a group that is not there no head is told, until it is made", async () => {
  const data = await dataDirectory();
  const clock = new HandClock();
  const host = await open(data.path, clock);
  try {
    const profile = encodeProfile(ANN.user, { createdAt: clock.now(), displayName: "Ann" });
    await createUserCells((user) => host.home(user)).create(ANN.user, [["profile", profile]]);
    const heads = headsOf(host);
    expect(heads.of(GROUPS[0]!)).toBeUndefined();
    await createGroups((user) => host.home(user), systemRandom, additionsForTests()).create(ANN, {
      id: "hikers" as GroupId,
      name: "Hikers",
      members: [],
    });
    expect(heads.of(GROUPS[0]!)?.headSeq as number | undefined).toBe(1);
  } finally {
    await host.store.close();
    data.remove();
  }
});
