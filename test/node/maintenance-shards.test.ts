/** Maintenance goes shard by shard, also where others are asked: what goes wrong with one of them keeps no other from its turn. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../src/base/errors.ts";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import { shardOf, userAddress, type DeviceId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { Maintenance, type MaintenanceTimes } from "../../src/node/maintenance/maintenance.ts";
import { ShardKeeper } from "../../src/node/shard-keeper.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { createUser } from "../../src/home/accounts/create-user.ts";
import { erasureStatus, requestErasure } from "../../src/home/erasing/erase-user.ts";
import type { ShardHost } from "../../src/node/shard-host.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import type { ShardId } from "../../storage/types.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { until } from "../support/wait.ts";

const [ANN, BEN] = ["ann", "ben"] as [UserId, UserId];
const NEVER = 86_400_000;

let data: Awaited<ReturnType<typeof dataDirectory>>;
let keeper: ShardKeeper;
let host: ShardHost;
let maintenance: Maintenance | undefined;
let logged: string[];

beforeEach(async () => {
  data = await dataDirectory();
  logged = [];
  const logger = createLogger("info", (line) => void logged.push(line), systemClock.now);
  const ports = { clock: systemClock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS, logger };
  keeper = await ShardKeeper.open({ directory: data.path }, ports);
  host = keeper.host();
  for (const user of [ANN, BEN]) {
    const profile = encodeProfile(user, { createdAt: 1, displayName: user });
    await createUser(host.home(user), user, [["profile", profile]]);
  }
  for (const from of [ANN, BEN]) {
    const input = { to: userAddress(from === ANN ? BEN : ANN), text: "hello", ref: "a-1", retry: false };
    await createMessaging((user) => host.home(user)).send({ user: from, device: "d" as DeviceId }, input);
  }
});

afterEach(async () => {
  maintenance?.stop();
  await maintenance?.quiet();
  await keeper.close(0);
  await maintenance?.ended();
  data.remove();
});

function maintain(times: Partial<MaintenanceTimes>): void {
  const all = { firstMs: 1, againMs: 10, sweepMs: NEVER, firstCompactMs: NEVER, compactMs: NEVER, ...times };
  const parts = { host: keeper.host, isOpen: () => keeper.isOpen, keepDays: undefined, times: all };
  maintenance = new Maintenance({ ...parts, clock: systemClock, logger: host.logger });
}

/** @param instead an answer, or nothing: then the shard is asked */
function asksGo(instead: (kind: string, to: string) => unknown): void {
  const { router } = host.home(ANN);
  const ask = router.ask.bind(router) as (...asked: unknown[]) => unknown;
  const go = (...asked: unknown[]): unknown => instead(asked[0] as string, asked[1] as string) ?? ask(...asked);
  Object.assign(router, { ask: go as ShardRouter["ask"] });
}

const state = (user: UserId): string => erasureStatus(host.users.get(user)!).state;

test("a request to erase is finished when no file of any asked shard has the content, and not before", async () => {
  let answers = 0;
  asksGo((kind, to) =>
    kind === "erasedFromFiles" && to === userAddress(BEN) && answers++ < 3 ? { isGone: false } : undefined,
  );
  const seen: string[] = [];
  await requestErasure(host.home(ANN), ANN);
  maintain({});
  await until("it is done", () => {
    if (answers <= 3) seen.push(state(ANN));
    return state(ANN) === "done";
  });
  expect([answers, new Set(seen)]).toEqual([4, new Set(["running"])]);
  expect(erasureStatus(host.users.get(ANN)!)).toMatchObject({ entries: 3 });
});

test("a shard that does not answer is asked again soon, and other requests go on meanwhile", async () => {
  let isAway = true;
  asksGo((kind, to) => {
    // Of Ann's request alone: Ben's own timeline is there.
    if (kind !== "eraseContent" || to !== userAddress(BEN) || !isAway || state(BEN) !== "none") return undefined;
    throw new AppError("unavailable", "no answer came in time");
  });
  await requestErasure(host.home(ANN), ANN);
  maintain({});
  await until("it was tried", () => logged.some((line) => line.includes("cannot be erased")));
  expect(state(ANN)).toBe("running");
  await requestErasure(host.home(BEN), BEN);
  maintenance!.eraseUser(BEN);
  await until("the other is done", () => state(BEN) === "done");
  isAway = false;
  await until("it is done", () => state(ANN) === "done");
  expect(logged.some((line) => line.includes("interrupted"))).toBe(false);
});

test("a shard whose segments cannot be compacted does not stop the compaction of others", async () => {
  const shards = [ANN, BEN].map((user) => shardOf(userAddress(user))).toSorted((a, b) => a - b);
  const packed: ShardId[] = [];
  Object.assign(host.store, {
    async compact(shard: ShardId) {
      if (shard === shards[0]) throw new Error("no more room for this file");
      packed.push(shard);
      return { filesBefore: 2, filesAfter: 1, bytesBefore: 2, bytesAfter: 1 };
    },
  });
  maintain({ firstCompactMs: 1 });
  await until("the other is packed", () => packed.includes(shards[1]!));
  expect(logged.filter((line) => line.includes("cannot be compacted"))).toHaveLength(1);
});
