/** Shards whose log fails, or is taken over by another node, while that of the others goes on. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import {
  userAddress,
  shardOf,
  type Address,
  type DeviceId,
  type GroupAddress,
  type UserId,
} from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { sendMessage } from "../../src/home/sending/send-message.ts";
import { HandoffProgress } from "../../src/home/handoffs/handoffs.ts";
import { createGroup } from "../../src/home/groups/group-changes.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { HandClock } from "./hand-clock.ts";
import { MemorySegments } from "../storage/files/memory-segments.ts";
import { LaneLog, type Answer } from "../storage/log/lane-log.ts";
import { laneOf, Lanes } from "../storage/log/lanes.ts";
import { SimulatedDisk } from "../storage/vfs/simulated-disk.ts";
import { until } from "../support/wait.ts";

const SHARDS = Array.from({ length: 1000 }, (_, shard) => shard as ShardId);
const shardOfUser = (user: UserId): ShardId => shardOf(userAddress(user));

/** Users of two lanes. */
const names = Array.from({ length: 40 }, (_, n) => `u${n}` as UserId);
const ANN = names[0]!;
const BEN = names.find((user) => laneOf(shardOfUser(user)) !== laneOf(shardOfUser(ANN)))!;
const CAT = names.find((user) => user !== ANN && laneOf(shardOfUser(user)) === laneOf(shardOfUser(ANN)))!;

const lanes = { current: new Lanes() };
let answers: Map<number, Answer>;
let clock: HandClock;
let host: ShardHost;
let logged: string[];

beforeEach(async () => {
  lanes.current = new Lanes();
  answers = new Map();
  clock = new HandClock();
  logged = [];
  const logger = createLogger(
    "info",
    (line) => void logged.push(line),
    () => clock.now(),
  );
  const { files } = new SimulatedDisk();
  let owners = 0;
  const storage = {
    directory: "/data",
    files,
    segments: new MemorySegments(),
    makeLog: (hooks: ConstructorParameters<typeof LaneLog>[1]) =>
      new LaneLog(
        {
          lanes: lanes.current,
          shards: SHARDS,
          owner: `node ${++owners}`,
          delay: () => new Promise((resolve) => void setImmediate(resolve)),
          answer: (lane) => {
            const answer = answers.get(lane) ?? "taken";
            answers.delete(lane);
            return answer;
          },
          itemsMax: 10_000,
        },
        hooks,
      ),
  };
  const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS, logger };
  host = await ShardHost.open(storage, ports, (error) => {
    throw error;
  });
  for (const user of [ANN, BEN, CAT])
    await writeUserCells(host.home(user), user, [
      ["profile", encodeProfile(user, { createdAt: 1, displayName: user })],
    ]);
});

afterEach(async () => {
  host.stop();
  await host.store.close();
});

let refs = 0;
function send(from: UserId, to: UserId | GroupAddress, ref = `r-${++refs}`, text = "hello"): Promise<string> {
  return new Promise((resolve, reject) => {
    const address: Address = to.startsWith("#") ? (to as GroupAddress) : userAddress(to as UserId);
    const request = { to: address, text, ref, retry: true };
    const reply = {
      session: undefined,
      sent: (_: unknown, isRepeat: boolean) => resolve(isRepeat ? "repeat" : "sent"),
      refused: (_: string, { code, message }: { code: string; message: string }) => resolve(`${code}: ${message}`),
    };
    const rest = sendMessage(host.home(from), host.home(from).users.get(from)!, request, reply);
    if (rest !== undefined) host.turns.run(rest).catch(reject);
  });
}

const reopened = (user: UserId): Promise<void> =>
  until("its shard is open again", () => {
    const { log, users } = host.home(user);
    return log.failure === undefined && users.peek(user) === undefined;
  });

function connect(user: UserId): string[] {
  const heard: string[] = [];
  host.attach({
    user,
    device: "d" as DeviceId,
    entry: (_place, _seq, frame) => void heard.push((JSON.parse(frame) as { text: string }).text),
    notice: () => {},
    close: (code) => void heard.push(`closed ${code}`),
  });
  return heard;
}

/** Of ben, in a lane that is not his. */
async function makeClub(): Promise<GroupAddress> {
  const club = Array.from({ length: 40 }, (_, n) => `#g${n}` as GroupAddress).find(
    (group) => laneOf(shardOf(group)) !== laneOf(shardOfUser(BEN)),
  )!;
  const detail = { change: "created", by: BEN, at: clock.now(), name: "Club", members: [BEN] } as const;
  await createGroup(host.shard(shardOf(club)), club, "e-club", { ...detail, members: [BEN] });
  await until("ben is in it", () => host.home(BEN).users.get(BEN)!.membership(club) !== undefined);
  return club;
}

test("a lane that is out of reach refuses its shards' writes alone, and they come back with what was written", async () => {
  expect([await send(ANN, BEN, "before"), await send(BEN, ANN)]).toEqual(["sent", "sent"]);
  const heard = connect(ANN);
  const heardOfOthers = connect(BEN);
  answers.set(laneOf(shardOfUser(ANN)), "out of reach");
  expect(await send(ANN, CAT, "lost")).toStartWith("unavailable");
  await until("the shard is open again", () => logged.some((line) => line.includes("shards are open again")));
  await until("all are", () => host.home(CAT).log.failure === undefined && host.home(ANN).log.failure === undefined);
  expect(heard).toEqual(["closed 4003"]);
  expect(heardOfOthers).toEqual([]);
  expect(host.store.failed).toBeUndefined();
  expect([await send(ANN, BEN, "before"), await send(ANN, CAT, "lost"), await send(BEN, CAT)]).toEqual([
    "repeat",
    "sent",
    "sent",
  ]);
  await until("it is handed over", () => host.home(CAT).users.get(CAT)!.headSeq === 2);
});

test("a message to a shard that has failed is acked by its sender's, and handed over when the shard is back", async () => {
  expect(await send(BEN, ANN)).toBe("sent");
  const lane = laneOf(shardOfUser(ANN));
  answers.set(lane, "out of reach");
  expect(await send(BEN, ANN, "while it fails")).toBe("sent");
  await until(
    "the shard is open again",
    () => host.home(ANN).log.failure === undefined && host.home(ANN).users.peek(ANN) === undefined,
  );
  await until("it is handed over", () => {
    clock.advance(1000);
    host.lookForHandoffs();
    return host.home(ANN).users.get(ANN)!.headSeq === 2;
  });
  expect(await send(BEN, ANN, "while it fails")).toBe("repeat");
});

test("a shard that another node has taken says so to those who write to it, can be read, and is not opened again", async () => {
  expect(await send(ANN, BEN)).toBe("sent");
  lanes.current.take(shardOfUser(ANN), "another node");
  expect(await send(ANN, BEN)).toStartWith("unavailable");
  expect(await send(ANN, BEN)).toContain("another server has taken over");
  expect(host.home(ANN).users.get(ANN)!.headSeq as number).toBe(1);
  expect(await send(BEN, CAT)).toBe("sent");
  expect(logged.join()).toContain("taken over by another server");
  // Every 15 seconds for as long as the node runs.
  new HandoffProgress(host.logger).write([host.home(ANN)]);
  expect(logged.join()).not.toContain("the handoff progress of a shard could not be written");
});

test("what a shard that fails has handed over to another one is not shown there, and what comes next is", async () => {
  expect(await send(ANN, BEN, "before")).toBe("sent");
  await until("it is handed over", () => host.home(BEN).users.get(BEN)!.headSeq === 1);
  const heard = connect(BEN);
  answers.set(laneOf(shardOfUser(ANN)), "out of reach");
  expect(await send(ANN, BEN, "lost")).toStartWith("unavailable");
  await reopened(ANN);
  await host.store.idle();
  expect(host.home(BEN).users.get(BEN)!.headSeq as number).toBe(1);
  expect(heard).toEqual([]);
  expect(await send(ANN, BEN, "another", "what comes next")).toBe("sent");
  await until("it is handed over", () => host.home(BEN).users.get(BEN)!.headSeq === 2);
  expect(heard).toEqual(["what comes next"]);
});

test("nothing that waits of a shard that was opened anew is written any more", async () => {
  expect(await send(BEN, ANN)).toBe("sent");
  await until("it is handed over", () => host.home(ANN).users.get(ANN)!.headSeq === 1);
  const before = host.home(ANN);
  const ann = before.users.get(ANN)!;
  before.marks.received(ann, 1 as Seq);
  answers.set(laneOf(shardOfUser(ANN)), "out of reach");
  expect(await send(ANN, BEN, "lost")).toStartWith("unavailable");
  await reopened(ANN);
  for (let tick = 0; tick < 5; tick++) {
    clock.advance(1000);
    await host.store.idle();
  }
  expect(() => before.users.get(ANN)).toThrow("try again");
  expect(() => ann.log.append({ encode() {}, committed() {}, failed() {} })).toThrow();
  expect(await send(ANN, BEN, "lost")).toBe("sent");
  expect(logged.join()).not.toContain("taken over");
  expect(logged.join()).not.toContain("a mark could not");
});

test("members of a group whose shard was opened anew come back for what was written and not told", async () => {
  const club = await makeClub();
  expect(await send(BEN, club)).toBe("sent");
  const heard = connect(BEN);
  answers.set(laneOf(shardOf(club)), "taken, then out of reach");
  const before = host.shard(shardOf(club));
  expect(await send(BEN, club, "not told")).toStartWith("unavailable");
  await until("its shard is open again", () => host.shard(shardOf(club)) !== before);
  expect(heard).toEqual(["closed 4003"]);
  // As long as whoever is refused has to wait.
  clock.advance(3000);
  expect(await send(BEN, club, "not told")).toBe("repeat");
});

test("a group whose shard another node has taken refuses posts for the moment, and what waits for it ends", async () => {
  const club = await makeClub();
  expect(await send(BEN, club)).toBe("sent");
  lanes.current.take(shardOf(club), "another node");
  expect(await send(BEN, club, "first")).toStartWith("unavailable");
  clock.advance(60_000);
  expect(await send(BEN, club, "second")).toContain("another server has taken over");
  expect(host.home(BEN).users.get(BEN)!.pendingSends).toEqual([]);
});
