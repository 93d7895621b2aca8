/** Groups that others put a user into have places of their own, and the server knows which those are whatever happens to it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/base/random.ts";
import { groupAddress, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { CHANGED_LANE, changedJson, payloadBytesMax, writeChanged } from "../../src/domain/entries.ts";
import { UNASKED_GROUPS_PER_USER_MAX } from "../../src/domain/limits.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import type { Actor } from "../../src/home/services.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { additionsForTests } from "../support/additions.ts";
import { randomFrom } from "../support/random.ts";
import { RestartedShards } from "./restarted-shards.ts";

const ANN = "ann" as UserId;
const BEN = "ben" as UserId;
const CLUB = "#club" as GroupAddress;

let shards: RestartedShards;
let groups: ReturnType<typeof createGroups>;

beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin([ANN], CLUB, [BEN]);
  groups = createGroups((user) => shards.host.home(user), systemRandom, additionsForTests());
});
afterEach(() => shards.close());

const actor = (user: UserId): Actor => ({ user, device: "phone" }) as Actor;
const make = (by: UserId, id: string, members: UserId[]) =>
  groups.create(actor(by), { id: id as GroupId, name: id, members });
const address = (id: string): GroupAddress => groupAddress(id as GroupId);
const fill = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n++) await make(ANN, `unasked-${n}`, [BEN]);
};
const isUnasked = (group: GroupAddress): boolean | undefined =>
  shards.host.users.get(BEN)!.membership(group)?.isUnasked;
const refusal = (): Promise<unknown> => make(ANN, "one-more", [BEN]).catch((error: unknown) => error);

const starts: [string, () => Promise<void>][] = [
  ["nothing", async () => {}],
  ["a crash", () => shards.crash(randomFrom(1))],
  ["a flush and a start", () => shards.restart()],
];

test.each(starts)(
  "after %s, who is in all groups that others may put them into can still make groups",
  async (_, start) => {
    await fill(UNASKED_GROUPS_PER_USER_MAX);
    await start();
    const error = await refusal();
    expect(error).toMatchObject({ code: "quota_exceeded" });
    expect((error as Error).message).not.toMatch(/\d/);
    await groups.putMember(actor(ANN), CLUB, BEN, "member").then(
      () => expect.unreachable(),
      (refused: unknown) => expect(refused).toMatchObject({ code: "quota_exceeded" }),
    );
    await make(BEN, "own", []);
    expect(isUnasked(address("own"))).toBe(false);
  },
);

test.each(starts)("after %s, a group that one has posted in is one's own, and its place is free", async (_, start) => {
  await fill(UNASKED_GROUPS_PER_USER_MAX);
  expect(await shards.send(BEN, { to: address("unasked-7"), text: "hello", ref: "r", retry: false })).toMatchObject({
    sent: { to: address("unasked-7") },
  });
  await start();
  expect(isUnasked(address("unasked-7"))).toBe(false);
  expect(isUnasked(address("unasked-8"))).toBe(true);
  await make(ANN, "one-more", [BEN]);
  expect(await make(ANN, "two-more", [BEN]).catch((error: unknown) => error)).toMatchObject({ code: "quota_exceeded" });
});

test.each(starts)("after %s, a group that one has left and come back to is one's own", async (_, start) => {
  await fill(CELLS_LAG_MAX);
  await groups.removeMember(actor(BEN), address("unasked-0"), BEN);
  await groups.putMember(actor(BEN), address("unasked-0"), BEN, "member");
  await start();
  expect(isUnasked(address("unasked-0"))).toBe(false);
});

test.each(starts)(
  "after %s, who was removed from a group of their own and put in again did not ask for it",
  async (_, start) => {
    await fill(1);
    await shards.send(BEN, { to: address("unasked-0"), text: "hello", ref: "r", retry: false });
    await groups.removeMember(actor(ANN), address("unasked-0"), BEN);
    await groups.putMember(actor(ANN), address("unasked-0"), BEN, "member");
    await start();
    expect(isUnasked(address("unasked-0"))).toBe(true);
  },
);

describe("a handoff that a crash cut off", () => {
  test.each([
    [ANN, true],
    [BEN, false],
  ])("is a membership that %s wanted: unasked for ben is %p", async (by, expected) => {
    const { host } = shards;
    const group = address("cut-off");
    const log = host.log(group);
    const detail = { change: "created", by, at: shards.wallMs, name: "", members: [ANN, BEN] } as const;
    const json = changedJson({ ...detail, members: [ANN, BEN] });
    const handle = new StreamHandle(group, undefined);
    await writeRecord(log, () => {
      log.putCell(handle, "epoch", Buffer.from("e-cutoff", "latin1"));
      log.beginEntry(handle, CHANGED_LANE, "", 1 as Seq, payloadBytesMax(json));
      writeChanged(log.writer, detail.at, json);
      log.endEntry();
    });
    expect(isUnasked(group)).toBeUndefined();
    await host.offerAll();
    expect(isUnasked(group)).toBe(expected);
  });
});
