/**
 * Random histories over real files, random damage, and what must hold when it is repaired and mended, whatever was lost:
 * everybody whom somebody else knows is there, groups and members agree, new messages arrive under ids that nobody has
 * seen, no unread count is below none, and no tombstone is without its time.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { lockDataDirectory } from "../../src/cli/data-directory.ts";
import { mendRepaired } from "../../src/cli/repair-mend.ts";
import { withShards } from "../../src/cli/with-shards.ts";
import {
  groupAddress,
  isGroup,
  shardOf,
  userAddress,
  type Address,
  type GroupAddress,
  type GroupId,
  type UserId,
} from "../../src/domain/address.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { changeGroup, createGroup } from "../../src/home/groups/group-changes.ts";
import type { ShardHost } from "../../src/node/shard-host.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { repairStore } from "../../storage/tools/repair/repair.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import type { Seq } from "../../storage/types.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { COMPANIONS } from "../../src/cli/tool-options.ts";
import { temporaryDirectory } from "./processes.ts";

const USERS = ["ann", "ben", "cat", "dan", "eve"] as UserId[];
const GROUPS = (["one", "two"] as GroupId[]).map(groupAddress);
const STEPS = 60;
const io = { stdout: () => {}, stderr: (text: string) => void said.push(text), env: {} };
const said: string[] = [];

let place: ReturnType<typeof temporaryDirectory>;
beforeAll(() => void (place = temporaryDirectory()));
afterAll(() => place.remove());

type Sent = { from: UserId; to: Address; id: string };
/** `lives`: who was ever in each group, by the number of its life. */
type History = { random: Random; refs: number; sent: Sent[]; lives: Map<GroupAddress, Set<UserId>[]> };

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;

async function say(host: ShardHost, history: History, from: UserId, to: Address): Promise<string> {
  const ref = `d-${++history.refs}`;
  const life = isGroup(to) ? `life ${history.lives.get(to)!.length - 1}` : "";
  const input = { to, text: `${ref} from ${from} ${life}`, ref, retry: false };
  const { message } = await createMessaging((user) => host.home(user)).send(
    { user: from, device: "d" as never },
    input,
  );
  history.sent.push({ from, to, id: message.id });
  return message.id;
}

async function begin(host: ShardHost): Promise<void> {
  const at = host.clock.now();
  for (const user of USERS)
    await writeUserCells(host.home(user), user, [
      ["profile", encodeProfile(user, { createdAt: at, displayName: user })],
    ]);
  for (const group of GROUPS) {
    const detail = { change: "created", by: USERS[0]!, at, name: "A group", members: USERS.slice(0, 3) } as const;
    await createGroup(host.shard(shardOf(group)), group, "e-group", { ...detail, members: [...detail.members] });
  }
}

async function step(host: ShardHost, history: History): Promise<void> {
  const { random } = history;
  const user = pick(random, USERS);
  const group = host.groups.get(pick(random, GROUPS))!;
  const member = group.members.get(user);
  const kind = random();
  if (kind < 0.6) return void (await say(host, history, user, userAddress(pick(random, USERS))));
  if (kind < 0.8) return member === undefined ? undefined : void (await say(host, history, user, group.address));
  if (kind < 0.9) {
    const state = host.users.get(user)!;
    const peer = [...state.conversations.keys()].find((address) => !isGroup(address));
    const { marks } = host.home(user);
    marks.received(state, state.headSeq);
    if (peer !== undefined) marks.read(state, peer, state.headSeq);
    host.markTurns.hurry();
    return host.store.idle();
  }
  const [admin] = USERS;
  if (user === admin) return;
  if (kind < 0.92) return beginAgain(host, history, group.address, [admin!, user]);
  const change = { by: admin!, at: host.clock.now(), user };
  const shard = host.shard(group.log.shard);
  if (member === undefined) history.lives.get(group.address)!.at(-1)!.add(user);
  if (member === undefined) return changeGroup(shard, group, { change: "joined", ...change, role: "member" });
  return changeGroup(shard, group, { change: "left", ...change });
}

async function beginAgain(
  host: ShardHost,
  { lives }: History,
  address: GroupAddress,
  members: UserId[],
): Promise<void> {
  const change = { by: USERS[0]!, at: host.clock.now() };
  const former = host.groups.get(address)!;
  await changeGroup(host.shard(former.log.shard), former, {
    change: "dissolved",
    ...change,
    members: [...former.members.keys()],
  });
  await createGroup(host.shard(former.log.shard), address, "e-again", {
    change: "created",
    ...change,
    name: "Again",
    members,
  });
  lives.get(address)!.push(new Set(members));
}

/** A directory of which some is flushed, in several layers, and some stands in the log alone. */
async function written(at: string, random: Random): Promise<History> {
  const lives = new Map(GROUPS.map((group) => [group, [new Set(USERS.slice(0, 3))]]));
  const history: History = { random, refs: 0, sent: [], lives };
  fs.mkdirSync(at);
  const live = `${at}-live`;
  fs.mkdirSync(live);
  await withShards(live, io, begin);
  for (let round = 0; round < 3; round++)
    await withShards(live, io, async (host) => {
      for (let n = 0; n < STEPS; n++) await step(host, history);
    });
  await withShards(live, io, async (host) => {
    for (let n = 0; n < STEPS / 2; n++) await step(host, history);
    await host.store.idle();
    // As a crash would leave it.
    fs.cpSync(live, at, { recursive: true });
  });
  return history;
}

function damage(at: string, random: Random): string[] {
  const done: string[] = [];
  const logs = fs
    .readdirSync(join(at, "wal"))
    .filter((name) => name.endsWith(".wal"))
    .toSorted();
  // What is flushed stands in the log as well, until that is trimmed.
  for (const name of logs.slice(0, -1)) fs.rmSync(join(at, "wal", name));
  const db = new SqlDatabase(join(at, "shards/recent.db"), "readwrite");
  const pages = db.sql("SELECT shard, layer, first FROM page").all<{ shard: number; layer: number; first: string }>();
  const isWholeShard = random() < 0.5;
  for (let n = 0; n < 1 + random() * 2; n++) {
    const { shard, layer, first } = pick(random, pages);
    done.push(`shard ${shard}, ${isWholeShard ? "all" : `layer ${layer} from ${first}`}`);
    if (isWholeShard) db.sql("UPDATE page SET data = zeroblob(8) WHERE shard = ?").run(shard);
    else
      db.sql("UPDATE page SET data = zeroblob(8) WHERE shard = ? AND layer = ? AND first = ?").run(shard, layer, first);
  }
  db.close();
  if (random() < 0.3) {
    const path = join(at, "wal", logs.at(-1)!);
    const bytes = fs.readFileSync(path);
    const end = bytes.findLastIndex((byte) => byte !== 0);
    const from = 24 + Math.floor(random() * (end - 24) * 0.8);
    done.push(`the log from ${from}`);
    fs.writeFileSync(path, bytes.fill(0xa5, from, from + 100));
  }
  return done;
}

async function repaired(source: string): Promise<string> {
  const to = `${source}-whole`;
  fs.cpSync(source, to, { recursive: true });
  const done = await repairStore(source, to, {
    laneOfLost: (stream) => (stream.startsWith("#") ? "" : stream),
    keyOfLost: () => undefined,
    cellsOfLost: (stream) => (/^[@#]/.test(stream) ? [["epoch", Buffer.from("rebuilt2")]] : []),
  });
  const data = lockDataDirectory(to);
  try {
    await mendRepaired(data, done, io);
  } finally {
    data.release();
  }
  expect((await verifyDirectory(to, { companions: COMPANIONS })).findings).toEqual([]);
  return to;
}

/** Somebody in another shard has heard of them. */
const known = ({ sent }: History): UserId[] =>
  USERS.filter((user) => sent.some(({ from, to }) => from === user && !isGroup(to) && to !== userAddress(user)));

async function expectSafe(host: ShardHost, history: History): Promise<void> {
  for (const address of [...USERS.map(userAddress), ...GROUPS]) expectWhole(host, address);
  for (const group of GROUPS) {
    expectOwnLives(host, history, group);
    const members = host.groups.get(group)?.members;
    for (const user of USERS) {
      const isIn = host.users.get(user)?.membership(group) !== undefined;
      expect(`${user} in ${group}: ${members?.has(user) ?? false}`).toBe(`${user} in ${group}: ${isIn}`);
    }
  }
  const seen = new Set(history.sent.map(({ id }) => id));
  const there = USERS.filter((user) => host.users.get(user) !== undefined);
  for (const from of there) {
    for (const user of there.filter((one) => one !== from)) {
      const before = host.users.get(user)!.headSeq;
      const id = await say(host, history, from, userAddress(user));
      expect([from, user, seen.has(id)]).toEqual([from, user, false]);
      expect([from, user, host.users.get(user)!.headSeq - before]).toEqual([from, user, 1]);
    }
  }
  for (const group of GROUPS) {
    const [member] = host.groups.get(group)?.members.keys() ?? [];
    if (member !== undefined) expect(seen.has(await say(host, history, member, group))).toBe(false);
  }
}

/** Nobody sees what was posted in a life that they had no part in. */
function expectOwnLives(host: ShardHost, { lives }: History, address: GroupAddress): void {
  const group = host.groups.get(address);
  for (const { payload } of group?.log.readForward(address, (group.bornSeq - 1) as Seq, 10_000) ?? []) {
    const [, life] = / life (\d+)$/.exec(Buffer.from(payload).toString("latin1")) ?? [];
    if (life === undefined) continue;
    for (const user of group!.members.keys())
      expect([address, user, life, lives.get(address)![Number(life)]!.has(user)]).toEqual([address, user, life, true]);
  }
}

function expectWhole(host: ShardHost, address: Address): void {
  const state = isGroup(address) ? host.groups.get(address) : host.userAt(address);
  if (state === undefined) return;
  const { log } = state;
  expect([address, state.headSeq]).toEqual([address, log.head(address)!.headSeq]);
  const hasTombstones = log.readForward(address, 0 as Seq, 10_000).some(({ payload }) => payload.length === 0);
  if (hasTombstones) expect([address, state.erasedAt > 0]).toEqual([address, true]);
  if (!isGroup(address))
    for (const { unread, address: peer } of host.userAt(address)!.conversations.values())
      expect([address, peer, unread >= 0]).toEqual([address, peer, true]);
}

const RUNS = Number(process.env["RUNS"] ?? 4);
for (let n = 0; n < RUNS; n++) {
  test(`(${n}) whatever is lost, what is repaired is safe to serve`, async () => {
    const random = randomFrom(SEED + n);
    const source = join(place.path, `run-${n}`);
    const history = await written(source, random);
    const hit = damage(source, random);
    try {
      const to = await repaired(source);
      await withShards(to, io, async (host) => {
        const lost = known(history).filter((user) => host.users.get(user) === undefined);
        // Whose shard is lost together with those of all others that they wrote to is known to nobody.
        const homes = hit.flatMap((what) => /^shard (\d+)/.exec(what)?.[1] ?? []).map(Number);
        expect(lost.filter((user) => !homes.includes(shardOf(userAddress(user))))).toEqual([]);
        await expectSafe(host, history);
      });
      expect(said).toEqual([]);
    } catch (error) {
      throw new Error(`after ${hit.join("; ")}: ${(error as Error).message}`, { cause: error });
    }
  });
}
