/** Shards whose log fails, or is taken over by another node, while that of the others goes on. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { userAddress, shardOf, type Address, type DeviceId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { sendMessage } from "../../src/home/sending/send-message.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeUserCells } from "../../src/home/durable.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import type { ShardId } from "../../storage/types.ts";
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
function send(from: UserId, to: UserId, ref = `r-${++refs}`): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = { to: userAddress(to) as Address, text: "hello", ref, retry: true };
    const reply = {
      session: undefined,
      sent: (_: unknown, isRepeat: boolean) => resolve(isRepeat ? "repeat" : "sent"),
      refused: (_: string, { code, message }: { code: string; message: string }) => resolve(`${code}: ${message}`),
    };
    const rest = sendMessage(host.home(from), host.home(from).users.get(from)!, request, reply);
    if (rest !== undefined) host.turns.run(rest).catch(reject);
  });
}

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
});
