/** What a server does beside messages: packs what was sealed, and finishes in the files what a crash left. */
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import { shardOf, userAddress, type DeviceId, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { ShardKeeper } from "../../src/node/shard-keeper.ts";
import { Maintenance } from "../../src/node/maintenance/maintenance.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { erasureStatus, requestErasure } from "../../src/home/erasing/erase-user.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import type { Seq } from "../../storage/types.ts";
import { listSegments } from "../../storage/files/placed/state-reader.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const TEXT_BYTES = 12_000;
const text = (): string => crypto.getRandomValues(new Uint8Array(TEXT_BYTES)).toBase64();

/** How each segment of all shards is packed: 0 as it was flushed, else the level of a compaction. */
function packings(node: TestNode): number[] {
  const names = readdirSync(node.dataDirectory, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith("state.db"))
    .flatMap((name) => {
      const state = new SqlDatabase(join(node.dataDirectory, name), "readwrite");
      try {
        return listSegments(state).map(({ packing }) => packing);
      } finally {
        state.close();
      }
    });
}

async function fill(node: TestNode, ann: Credentials): Promise<void> {
  const device = await node.connect(ann);
  for (let i = 0; i < 100; i++) await device.say("@ann", text());
  await device.close();
}

test("segments are compacted automatically, and read the same", async () => {
  const never = 86_400_000;
  const maintenanceTimes = { firstMs: 20, firstCompactMs: never };
  const node = await startTestNode({ segmentMb: 1 }, { maintenanceTimes });
  try {
    const [ann] = (await node.api.users("ann")) as [Credentials];
    // Each fills a segment; the first is sealed when the second is begun.
    for (let i = 0; i < 3; i++) {
      await fill(node, ann);
      await node.restart();
    }
    expect(packings(node).length).toBeGreaterThan(2);
    expect(packings(node)).toContain(0);
    const history = await node.api.history(ann, "@ann");
    maintenanceTimes.firstCompactMs = 1;
    await node.restart();
    await until("it is packed tighter", () => packings(node).every((level) => level > 0));
    expect(await node.api.history(ann, "@ann")).toEqual(history);
    await node.restart();
    expect(await node.api.history(ann, "@ann")).toEqual(history);
  } finally {
    await node.stop();
  }
});

test("expired messages that were erased only in the log before a crash are out of the files soon after the next start", async () => {
  const data = await dataDirectory();
  const clock = { ...systemClock, now: () => Date.now() + 10 * 86_400_000 };
  const ports = {
    clock,
    ids: new MessageIds(new Uint8Array(16)),
    limits: DEFAULT_LIMITS,
    logger: createLogger("error", (line) => void process.stderr.write(line), clock.now),
  };
  try {
    const ann = "ann" as UserId;
    const address = userAddress(ann);
    const host = await ShardHost.open({ directory: data.path }, { ...ports, clock: systemClock }, () => {});
    const profile = encodeProfile(ann, { createdAt: 1, displayName: "Ann" });
    await createUserCells((user) => host.home(user)).create(ann, [["profile", profile]]);
    const secret = crypto.randomUUID();
    const input = { to: address, text: secret, ref: "a-1", retry: false };
    await createMessaging((user) => host.home(user)).send({ user: ann, device: "d" as DeviceId }, input);
    expect((await eraseBefore(host.home(ann), address, clock.now(), () => false)).entries).toBe(1);
    // Closing flushes nothing: the files are as a crash leaves them.
    host.markTurns.stop();
    await host.store.close();
    expect(filesWith(data.path, Buffer.from(secret)).length).toBe(1);

    const keeper = await ShardKeeper.open({ directory: data.path }, ports);
    const of = { host: keeper.host, isOpen: () => keeper.isOpen };
    const maintenance = new Maintenance({ ...ports, ...of, keepDays: 1, times: { firstMs: 1 } });
    await until("no file has it", () => filesWith(data.path, Buffer.from(secret)).length === 0);
    maintenance.stop();
    await maintenance.quiet();
    await keeper.close(0);
    await maintenance.ended();
  } finally {
    data.remove();
  }
});

test.each(["cannot be erased by request", "cannot be erased by age", "is erased, which cannot be noted,"])(
  "a stream that %s keeps no other one from being erased",
  async (how) => {
    const isByAge = how.endsWith("by age");
    const data = await dataDirectory();
    let nowMs = 1_763_740_800_000;
    const clock = { ...systemClock, now: () => nowMs };
    const logged: string[] = [];
    const logger = createLogger("error", (line) => void logged.push(line), clock.now);
    const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS, logger };
    const keeper = await ShardKeeper.open({ directory: data.path }, ports);
    const host = keeper.host();
    // Shards are gone through in their order.
    const order = (user: UserId): number => shardOf(userAddress(user));
    const users = (["ann", "ben"] as UserId[]).toSorted((a, b) => order(a) - order(b));
    const [first, second] = users as [UserId, UserId];
    const payloads = (user: UserId): number[] =>
      host
        .log(userAddress(user))
        .readForward(userAddress(user), 0 as Seq, 9)
        .map(({ payload }) => payload.length);
    try {
      for (const user of users) {
        const profile = encodeProfile(user, { createdAt: 1, displayName: "Someone" });
        await createUserCells((user) => host.home(user)).create(user, [["profile", profile]]);
        const input = { to: userAddress(user), text: "to be erased", ref: "a-1", retry: false };
        // One who has written nothing is soon erased.
        if (user === second || how.startsWith("cannot"))
          await createMessaging((user) => host.home(user)).send({ user, device: "d" as DeviceId }, input);
        if (!isByAge) await requestErasure(host.home(user), user);
      }
      if (isByAge) nowMs += 10 * 86_400_000;
      (host.users.get(first)!.handle as { name: string }).name = "x".repeat(300);
      const parts = { ...ports, host: keeper.host, isOpen: () => keeper.isOpen };
      const maintenance = new Maintenance({ ...parts, keepDays: isByAge ? 1 : undefined, times: { firstMs: 1 } });
      await until("it is erased", () => payloads(second)[0] === 0);
      if (!isByAge) await until("that is noted", () => erasureStatus(host.users.get(second)!).state === "done");
      maintenance.stop();
      await maintenance.quiet();
      await maintenance.ended();
      expect(payloads(first)).not.toContain(0);
      expect(logged.join()).toMatch(new RegExp(`cannot be.*"@?${first}"`));
    } finally {
      await keeper.close(0);
      data.remove();
    }
  },
);
