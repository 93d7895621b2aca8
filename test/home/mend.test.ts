/** What `mend` makes of streams that have lost something, each loss by itself. The program over damaged files: test/cli/mend.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/base/random.ts";
import { shardOf, userAddress, type Address, type GroupAddress, type UserId } from "../../src/domain/address.ts";
import { encodeCell } from "../../src/home/state/cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { beingErased, erasureStatus } from "../../src/home/erasing/erase-user.ts";
import { changeGroup, createGroup } from "../../src/home/groups/group-changes.ts";
import { mend } from "../../src/node/mend/mend.ts";
import type { MendNote } from "../../src/node/mend/notes.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { RestartedShards } from "./restarted-shards.ts";

const [ann, ben, cat] = ["ann", "ben", "cat"] as [UserId, UserId, UserId];
const CLUB = "#club" as GroupAddress;
const SAYS = 6;

let shards: RestartedShards;
beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin([ann, ben], CLUB, [cat]);
  for (let n = 1; n <= SAYS; n++) {
    shards.wallMs += 1000;
    await shards.send(ann, { to: "@ben" as Address, text: `direct ${n}`, ref: `d${n}`, retry: false });
    await shards.send(ann, { to: CLUB, text: `posted ${n}`, ref: `p${n}`, retry: false });
  }
});
afterEach(() => shards.close());

/** As a repair of their shards would say that they have lost their newest records. */
async function mended(...addresses: Address[]): Promise<MendNote[]> {
  const lost = addresses.map((address) => {
    return { shard: shardOf(address), mayLackNewest: true, mayShowErased: false, lost: [] };
  });
  const notes = await mend(shards.host, lost, systemRandom);
  await shards.host.store.idle();
  return notes;
}

async function setCells(address: Address, cells: Record<string, Uint8Array | null>): Promise<void> {
  const log = shards.host.log(address);
  const handle = new StreamHandle(address, log.head(address));
  await writeRecord(log, () => {
    for (const [key, value] of Object.entries(cells)) log.putCell(handle, key, value);
  });
}

/** Of entries that say something. */
function seqsOf(address: Address): number[] {
  const entries = shards.host.log(address).readForward(address, 0 as Seq, 1000);
  return entries.filter(({ payload }) => payload.length > 0).map(({ seq }) => seq);
}

/** What is loaded is of before the cells were set. */
function forget(): void {
  shards.host.forgetStates();
}

const cellOf = (address: Address, key: string): Uint8Array | undefined => shards.host.log(address).cell(address, key);
const kinds = (notes: readonly MendNote[], address: string): string[] =>
  notes.filter(({ stream }) => stream === address).map(({ kind }) => kind);

describe("what had been erased and came back", () => {
  test("goes again where the timeline's own cells prove it: retention, the other side's, a ref of an erased message", async () => {
    expect(seqsOf("@ben" as Address)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    await setCells("@ben" as Address, { "gone/@ann": encodeCell(3, 2) });
    await setCells(CLUB, { kept: encodeCell(4) });
    const log = shards.host.log(userAddress(ann));
    const handle = new StreamHandle("@ann", log.head("@ann"));
    await writeRecord(log, () => log.putKey(handle, "\u007fd2", 3 as Seq, new Uint8Array(0)));
    const notes = await mended("@ben" as Address, CLUB, "@ann" as Address);
    // The first entry of both timelines is the membership, that of the group its beginning.
    expect(seqsOf("@ben" as Address)).toEqual([1, 4, 5, 6, 7]);
    expect(seqsOf(CLUB)).toEqual([1, 5, 6, 7]);
    expect(seqsOf("@ann" as Address)).toEqual([1, 2, 4, 5, 6, 7]);
    expect(kinds(notes, "@ben")).toContain("erased");
  });

  test("goes again where its author once asked for that, in timelines of others and in groups, and what came later stays", async () => {
    const requestedAt = shards.wallMs - 2000;
    const request = { requestedAt, finishedAt: requestedAt, through: 5, groups: {} };
    await setCells("@ann" as Address, { erasure: Buffer.from(JSON.stringify(request)) });
    await mended("@ben" as Address, CLUB);
    expect(seqsOf("@ben" as Address)).toEqual([1, 6, 7]);
    expect(seqsOf(CLUB)).toEqual([1, 6, 7]);
    expect(erasureStatus(shards.host.users.get(ann)!).state).toBe("done");
    expect(beingErased(shards.host.log("@ann" as Address))).toEqual([]);
  });

  test("goes where a request was under way and the shard lost its note of it", async () => {
    const request = { requestedAt: shards.wallMs, through: 7, groups: { [CLUB]: 7 } };
    await setCells("@ann" as Address, { erasure: Buffer.from(JSON.stringify(request)) });
    await mended("@ann" as Address);
    expect(erasureStatus(shards.host.users.get(ann)!).state).toBe("done");
    expect(seqsOf("@ben" as Address)).toEqual([1]);
  });
});

describe("positions (G8)", () => {
  test("begin behind what a receiver has taken, and behind what the stream's own cells speak of", async () => {
    const far = 5000;
    await setCells("@ben" as Address, {
      "conv/@ann": encodeCell(7, 0, far, far, 0),
      "conv/#club": encodeCell(1, 1),
      head: encodeCell(7),
    });
    await setCells(CLUB, { "seen/ben": encodeCell(far) });
    forget();
    await mended("@ann" as Address, CLUB);
    expect(shards.host.users.get(ann)!.headSeq).toBeGreaterThan(far);
    expect(shards.host.groups.get(CLUB)!.headSeq).toBeGreaterThan(far);
    await shards.send(ann, { to: "@ben" as Address, text: "arrives", ref: "new", retry: false });
    expect(shards.host.users.get(ben)!.headSeq).toBe(8 as Seq);
    expect(cellOf("@ann" as Address, "erased")).toBeDefined();
  });

  test("and conversations count what cells of different flushes know, never fewer unread messages than none", async () => {
    // `head` says that all counts, and the conversation's own cell is of long before.
    await setCells("@ben" as Address, {
      head: encodeCell(7),
      "conv/@ann": encodeCell(2, 0, 2, 1, 0),
      "read/@ann": encodeCell(7, 9),
    });
    forget();
    expect(shards.host.users.get(ben)!.conversation("@ann" as Address).unread).toBeLessThan(0);
    await mended("@ben" as Address);
    const conversation = shards.host.users.get(ben)!.conversation("@ann" as Address);
    expect(conversation).toMatchObject({ takenThrough: 7, incoming: 9, unread: 0 });
    await shards.send(ann, { to: "@ben" as Address, text: "one more", ref: "new", retry: false });
    expect(conversation.unread).toBe(1);
  });
});

describe("a membership", () => {
  const isIn = (user: UserId): [boolean, boolean] => [
    shards.host.groups.get(CLUB)!.members.has(user),
    shards.host.users.get(user)!.membership(CLUB) !== undefined,
  ];

  test("that only the group knows of is told to a timeline that lost it", async () => {
    const log = shards.host.log("@ben" as Address);
    const handle = new StreamHandle("@ben", log.head("@ben"));
    await writeRecord(log, () => log.erase(handle, undefined, 1 as Seq, 1 as Seq));
    forget();
    expect(isIn(ben)).toEqual([true, false]);
    const notes = await mended("@ben" as Address);
    expect(isIn(ben)).toEqual([true, true]);
    expect(kinds(notes, CLUB)).toEqual(["membership"]);
  });

  test("that only a timeline knows of is out where both may have lost the end", async () => {
    await setCells(CLUB, { head: encodeCell(7, 1, 1, "Club"), "member/ann": encodeCell(1, 1) });
    forget();
    expect(isIn(ben)).toEqual([false, true]);
    await mended("@ben" as Address, CLUB);
    expect(isIn(ben)).toEqual([false, false]);
    expect(isIn(ann)).toEqual([true, true]);
  });

  test("that only a timeline knows of counts where the timeline is whole", async () => {
    await setCells(CLUB, { head: encodeCell(7, 1, 1, "Club"), "member/ann": encodeCell(1, 1) });
    forget();
    const notes = await mended(CLUB);
    expect(isIn(ben)).toEqual([true, true]);
    expect(kinds(notes, CLUB)).toContain("membership");
  });
});

describe("the id of a group that was used again", () => {
  test("behind the end of what is left begins anew with whoever joined there, who see nothing of before", async () => {
    for (const user of [ann, ben])
      await setCells(userAddress(user), { head: encodeCell(7), "conv/#club": encodeCell(1, 0, 899) });
    await setCells(userAddress(cat), { "conv/#club": encodeCell(1, 900) });
    forget();
    await mended(CLUB);
    const group = shards.host.groups.get(CLUB)!;
    expect([...group.members.keys()]).toEqual([cat]);
    expect(group.isAdmin(cat)).toBe(true);
    expect(group.bornSeq).toBeGreaterThan(900);
  });

  test("and lost the cell that says where hides what came before all the same", async () => {
    const { host } = shards;
    const at = shards.wallMs;
    await changeGroup(host.shard(shardOf(CLUB)), host.groups.get(CLUB)!, {
      change: "dissolved",
      by: ann,
      at,
      members: [ann, ben],
    });
    await createGroup(host.shard(shardOf(CLUB)), CLUB, "e-again", {
      change: "created",
      by: cat,
      at,
      name: "Mine",
      members: [cat],
    });
    const { bornSeq } = host.groups.get(CLUB)!;
    await setCells(CLUB, {
      born: null,
      head: encodeCell(bornSeq, at, at, "Mine"),
      "member/cat": encodeCell(bornSeq, 1),
    });
    forget();
    expect(host.groups.get(CLUB)!.bornSeq).toBe(1 as Seq);
    await mended(CLUB);
    expect(host.groups.get(CLUB)!.bornSeq).toBe(bornSeq);
    expect([...host.groups.get(CLUB)!.members.keys()]).toEqual([cat]);
  });
});

test("streams whose names are lost are no users: nothing is offered from them, and no cells are derived for them", async () => {
  const log = shards.host.log("@ann" as Address);
  const handle = new StreamHandle("$lost-7", undefined);
  await writeRecord(log, () => {
    for (let seq = 1; seq <= 40; seq++) {
      log.beginEntry(handle, "@ben", "", seq as Seq, 8);
      log.writer.raw(Buffer.from([0x70, 1, 2, 3, 4, 5, 6]));
      log.endEntry();
    }
  });
  await shards.flush();
  await shards.restart();
  expect(seqsOf("@ben" as Address)).toHaveLength(7);
});

test("mending what is mended changes nothing that is told", async () => {
  await setCells("@ann" as Address, { profile: null });
  forget();
  expect(kinds(await mended("@ann" as Address), "@ann")).toEqual(["reserved", "password"]);
  const { epoch } = shards.host.users.get(ann)!;
  const again = await mend(shards.host, [], systemRandom);
  expect(kinds(again, "@ann")).toEqual([]);
  expect(shards.host.users.get(ann)!.epoch).toBe(epoch);
});
