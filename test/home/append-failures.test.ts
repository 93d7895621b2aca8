/** An encoder that throws is a mistake in the program. It must cost the command that made it, and nobody else, and nothing that is on disk. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { shardOf, type Address, type GroupAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { additionsForTests } from "../support/additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { readsForTests } from "../support/reads.ts";
import { createHistory } from "../../src/home/reading/history.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { eraseRequested, erasureStatus, requestErasure } from "../../src/home/erasing/erase-user.ts";
import type { GroupState } from "../../src/home/state/group-state.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { HandoffLedger } from "../../src/home/handoffs/handoff-ledger.ts";
import type { Shard } from "../../src/home/shard.ts";
import { HandoffProgress } from "../../src/home/handoffs/handoffs.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Offset, Seq } from "../../storage/types.ts";
import { HandClock } from "./hand-clock.ts";
import { until, within } from "../support/wait.ts";
import { dataDirectory, type DataDirectory } from "../support/data-directory.ts";

const PEOPLE = ["ann", "ben", "cat"] as UserId[];
const [ann, ben, cat] = PEOPLE as [UserId, UserId, UserId];
const CLUB = "#club" as GroupAddress;
const LONG = "x".repeat(300);

const UNHEARD = { committed() {}, failed() {} };

const clock = new HandClock();
let data: DataDirectory;
let host: ShardHost;
let logged: string[] = [];
let refs = 0;

const actor = (user: UserId): Actor => ({ user, device: "phone" }) as Actor;
const state = (user: UserId): UserState => host.users.get(user)!;

async function open(): Promise<void> {
  const logger = createLogger(
    "error",
    (line) => void logged.push(line),
    () => clock.now(),
  );
  const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS, logger };
  host = await ShardHost.open({ directory: data.path }, ports, () => {});
}

async function reopen(): Promise<void> {
  await host.store.idle();
  await host.store.close();
  await open();
}

const send = (from: UserId, to: string, text = "hello", ref = `k3-${++refs}`) =>
  createMessaging((user) => host.home(user)).send(actor(from), { to: to as Address, text, ref, retry: false });

const makeGroup = (members: UserId[]) =>
  createGroups((user) => host.home(user), systemRandom, additionsForTests()).create(actor(ann), {
    id: "club" as GroupId,
    name: "Club",
    members,
  });

async function seqs(user: UserId): Promise<number[]> {
  const { frames } = await createHistory((user) => host.home(user), readsForTests()).entries(actor(user), {
    after: 0,
    limit: 200,
  });
  return frames.map((frame) => ("seq" in frame ? (frame.seq ?? 0) : 0));
}

/** While it runs, whatever is written for the stream of the user or group cannot be encoded. */
async function broken(owner: UserState | GroupState, work: () => Promise<void>): Promise<void> {
  const handle = owner.handle as { name: string };
  const { name } = handle;
  handle.name = LONG;
  try {
    await work();
  } finally {
    handle.name = name;
  }
}

/** What the group's shard has to hand over is taken. */
async function offered(group: GroupAddress): Promise<void> {
  const { ledger } = host.shard(shardOf(group));
  await until("all is handed over", () => {
    clock.advance(1000);
    return ledger.isEmpty;
  });
  await host.store.idle();
}

beforeEach(async () => {
  logged = [];
  data = await dataDirectory();
  await open();
  for (const user of PEOPLE) {
    const profile = encodeProfile(user, { createdAt: clock.now(), displayName: user });
    await createUserCells((user) => host.home(user)).create(user, [["profile", profile]]);
  }
});

afterEach(async () => {
  await host.store.close();
  data.remove();
});

test("a direct message that cannot be handed over is not sent either, and its ref is as new as before", async () => {
  await send(ann, "@ben");
  await broken(state(ben), async () => {
    await expect(send(ann, "@ben", "again", "again")).rejects.toThrow(RangeError);
  });
  expect(state(ann).pendingSends).toEqual([]);
  expect((await send(ann, "@ben", "again", "again")).duplicate).toBe(false);
  await send(ben, "@ann");
  await reopen();
  expect(await seqs(ann)).toEqual([1, 2, 3]);
  expect(await seqs(ben)).toEqual([1, 2, 3]);
});

test("a post whose ref cannot be noted is not posted either", async () => {
  await makeGroup([ben]);
  await broken(state(ann), async () => {
    await expect(send(ann, CLUB, "first", "first")).rejects.toThrow(RangeError);
  });
  expect((await send(ann, CLUB, "first", "first")).message.seq).toBe(2);
  await reopen();
  expect((await send(ben, CLUB)).message.seq).toBe(3);
});

test("a membership that one of the members cannot get keeps nobody else from theirs, and is got when that can be", async () => {
  await broken(state(cat), async () => void (await makeGroup([ben, cat])));
  expect(logged.join()).toContain("a membership could not be handed over");
  expect([await seqs(ben), await seqs(cat)]).toEqual([[1], []]);
  await offered(CLUB);
  for (const user of PEOPLE) expect(await seqs(user)).toEqual([1]);
  await reopen();
  for (const user of PEOPLE) expect(await seqs(user)).toEqual([1]);
  expect((await send(cat, CLUB)).message.seq).toBe(2);
});

test("a membership that could not be handed over is got after a restart, too", async () => {
  await makeGroup([ben]);
  const groups = createGroups((user) => host.home(user), systemRandom, additionsForTests());
  await broken(state(cat), () => groups.putMember(actor(ann), CLUB, cat, "member"));
  expect(await seqs(cat)).toEqual([]);
  await reopen();
  await host.offerAll();
  expect(await seqs(cat)).toEqual([1]);
  expect((await send(cat, CLUB)).message.seq).toBe(3);
});

test("a change of a group that cannot be encoded changes nothing", async () => {
  await makeGroup([ben]);
  const groups = createGroups((user) => host.home(user), systemRandom, additionsForTests());
  await broken(host.groups.get(CLUB)!, async () => {
    await expect(groups.putMember(actor(ann), CLUB, cat, "member")).rejects.toThrow(RangeError);
  });
  expect(await seqs(cat)).toEqual([]);
  await groups.putMember(actor(ann), CLUB, cat, "member");
  await reopen();
  expect((await send(cat, CLUB)).message.seq).toBe(3);
});

test("a mark that cannot be written is said in the log, and the others are written", async () => {
  await send(ben, "@ann");
  await send(cat, "@ann");
  Object.defineProperty(state(ben).conversation("@ann" as Address), "deliveredKey", { value: LONG });
  host.home(ann).marks.received(state(ann), 2 as Seq);
  await host.store.idle();
  expect(logged.join()).toContain("a mark could not be written");
  expect(state(cat).conversation("@ann" as Address).delivered as number).toBe(1);
  await reopen();
  expect(state(cat).conversation("@ann" as Address).delivered as number).toBe(1);
});

test("what a mark that could not be written was to say counts as not said: who says it again is heard", async () => {
  await send(ben, "@ann");
  await makeGroup([ben]);
  await send(ben, CLUB);
  const { marks } = host.home(ann);
  const conversation = state(ann).conversation("@ben" as Address);
  const say = async (): Promise<void> => {
    marks.received(state(ann), 2 as Seq);
    marks.read(state(ann), "@ben" as Address, 1 as Seq);
    marks.read(state(ann), CLUB, 2 as Seq);
    host.markTurns.hurry();
    await host.store.idle();
  };
  const said = (): number[] => [state(ann).received, conversation.ownRead, state(ann).conversation(CLUB).ownRead];
  await broken(state(ann), say);
  expect(said()).toEqual([0, 0, 0]);
  expect([state(ann).pendingMarks, state(ben).pendingMarks]).toEqual([0, 0]);
  await say();
  expect(said()).toEqual([2, 1, 2]);
  expect(state(ben).conversation("@ann" as Address)).toMatchObject({ delivered: 1, seen: 1 });
  await reopen();
  expect(state(ann)).toMatchObject({ received: 2, pendingMarks: 0 });
  expect(state(ben).conversation("@ann" as Address)).toMatchObject({ delivered: 1, seen: 1 });
});

test("what another shard could not write is offered to it again, and the own marks wait for it", async () => {
  await send(ben, "@ann");
  await makeGroup([ben]);
  await send(ben, CLUB);
  const { marks } = host.home(ann);
  const group = host.groups.get(CLUB)!;
  const [toBen, club] = [state(ann).conversation("@ben" as Address), state(ann).conversation(CLUB)];
  const said = (): number[] => [state(ann).received, toBen.ownRead, club.ownRead, group.marksOf(ann).delivered];
  await broken(group, () =>
    broken(state(ben), async () => {
      marks.received(state(ann), 2 as Seq);
      marks.read(state(ann), "@ben" as Address, 1 as Seq);
      marks.receivedIn(state(ann), CLUB, 2 as Seq);
      marks.read(state(ann), CLUB, 2 as Seq);
      host.markTurns.hurry();
      await host.store.idle();
    }),
  );
  expect(said()).toEqual([0, 0, 0, 0]);
  expect([group.pendingMarks, state(ben).pendingMarks]).toEqual([0, 0]);
  clock.advance(1000);
  await host.store.idle();
  expect(said()).toEqual([2, 1, 2, 2]);
  expect(state(ben).conversation("@ann" as Address)).toMatchObject({ delivered: 1, seen: 1 });
  await reopen();
  expect(state(ann)).toMatchObject({ received: 2, pendingMarks: 0 });
});

test("a mark that was lost is covered by the next one, which is above what was said before", async () => {
  await send(ben, "@ann");
  host.home(ann).marks.received(state(ann), 1 as Seq);
  await host.store.idle();
  for (const text of ["second", "third"]) await send(ben, "@ann", text);
  await broken(state(ben), async () => {
    host.home(ann).marks.received(state(ann), 2 as Seq);
    await host.store.idle();
  });
  const conversation = state(ben).conversation("@ann" as Address);
  expect(conversation).toMatchObject({ delivered: 1, deliveredPending: 1, peerMark: undefined });
  host.home(ann).marks.received(state(ann), 3 as Seq);
  await host.store.idle();
  expect(conversation).toMatchObject({ delivered: 3, deliveredMark: 2 });
  expect(state(ben).markCount).toBe(2);
});

test("a shard whose handoff progress cannot be written keeps no other from its own", async () => {
  await send(ann, "@ben");
  const { log } = state(ann);
  const encode = (): void => log.putCell(state(ann).handle, LONG, null);
  const failing = { memtable: { isEmpty: false }, durableThrough: 1, append: () => log.append({ ...UNHEARD, encode }) };
  const damaged = { id: 0, log: failing, ledger: new HandoffLedger(0 as Offset, 0 as Offset) } as unknown as Shard;
  new HandoffProgress(host.logger).write([damaged, host.shard(log.shard)]);
  await host.store.idle();
  expect(logged.join()).toContain("the handoff progress of a shard could not be written");
  expect(log.cell("$shard", "handedOffThrough")).toBeDefined();
});

test("erasing that cannot be encoded leaves neither a count of it nor a state that is never dropped", async () => {
  await send(ann, "@ben", "to be erased");
  await requestErasure(host.home(ann), ann);
  const ports = { isStopped: () => false, tidy: () => Promise.resolve() };
  const erase = (): Promise<void> => eraseRequested(host.home(ann), ann, ports);
  const conversation = state(ben).conversation("@ann" as Address);
  const { takenSeq } = conversation;
  await broken(state(ben), async () => {
    await expect(erase()).rejects.toThrow(RangeError);
  });
  expect([state(ann).pendingMarks, state(ben).pendingMarks]).toEqual([0, 0]);
  expect(erasureStatus(state(ann))).toMatchObject({ state: "running", entries: 1 });
  await erase();
  await reopen();
  expect(erasureStatus(state(ann))).toMatchObject({ state: "running", entries: 2 });
  expect(state(ben).conversation("@ann" as Address)).toMatchObject({ takenSeq, goneSeq: 1, unread: 0 });
});

test("a group that begins while its shard is found to be damaged leaves nobody waiting", async () => {
  const { log } = host.shard(shardOf(CLUB));
  const written = writeRecord(
    log,
    () => log.putCell(new StreamHandle(CLUB, undefined), "epoch", Buffer.from("e")),
    () => {
      throw new AppError("unavailable", "damaged meanwhile");
    },
  );
  await expect(within("the record to be told of", written)).rejects.toThrow("damaged meanwhile");
  expect(logged.join()).toContain("damaged meanwhile");
});

test("a stream whose derived cells cannot be written does not keep its shard from being flushed", async () => {
  for (let n = 0; n < CELLS_LAG_MAX; n++) await send(ann, "@ben");
  const conversation = state(ann).conversation("@ben" as Address);
  const { lastRank } = conversation;
  conversation.lastRank = -1;
  await host.store.flushAll(() => false);
  expect(logged.join()).toContain("derived cells could not be written");
  expect(state(ann).log.memtable.isEmpty).toBe(true);
  conversation.lastRank = lastRank;
  await send(ann, "@ben");
  await host.store.flushAll(() => false);
  await reopen();
  expect(state(ann).conversation("@ben" as Address)).toMatchObject({ lastSeq: CELLS_LAG_MAX + 1, lastRank });
  expect(await seqs(ann)).toHaveLength(CELLS_LAG_MAX + 1);
});
