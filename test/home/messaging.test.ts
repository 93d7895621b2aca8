/** Sends that need a clock of the test's own, or a log as only a crash leaves it: what tests over real sockets cannot bring about. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Address, GroupId, UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { changedJson, payloadBytesMax, writeChanged, writeSent, CHANGED_LANE } from "../../src/domain/entries.ts";
import { additionsForTests } from "../support/additions.ts";
import { createGroups } from "../../src/home/groups/groups.ts";
import { readsForTests } from "../support/reads.ts";
import { createHistory } from "../../src/home/reading/history.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { writeRecord } from "../../src/home/durable.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { dataDirectory, type DataDirectory } from "../support/data-directory.ts";
import { HandClock } from "./hand-clock.ts";

const alice = { user: "alice", device: "phone" } as Actor;
const MINUTE = 60_000;

let clock: HandClock;
let data: DataDirectory;
let host: ShardHost;

beforeEach(async () => {
  clock = new HandClock();
  data = await dataDirectory();
  await open();
  for (const user of ["alice", "bob"])
    await createUserCells((user) => host.home(user)).create(user as UserId, [
      ["profile", encodeProfile(user as UserId, { createdAt: clock.now(), displayName: user })],
    ]);
});
afterEach(async () => {
  await host.store.close();
  data.remove();
});

async function open(): Promise<void> {
  const logger = createLogger("error", () => {}, clock.now);
  const ids = new MessageIds(new Uint8Array(16));
  host = await ShardHost.open({ directory: data.path }, { clock, ids, limits: DEFAULT_LIMITS, logger }, () => {});
}

/** As after a crash: nothing is flushed. */
async function reopen(): Promise<void> {
  await host.store.close();
  await open();
}

const send = (to: string, ref: string, retry = false) =>
  createMessaging((user) => host.home(user)).send(alice, { to: to as Address, text: "hello", ref, retry });

test.each(["@bob", "@alice", "#hikers"])(
  "an unmarked ref of the last minute is known after a restart, however old the conversation (%s)",
  async (to) => {
    await createGroups((user) => host.home(user), systemRandom, additionsForTests()).create(alice, {
      id: "hikers" as GroupId,
      name: "hikers",
      members: ["bob" as UserId],
    });
    await send("@bob", "old-1");
    clock.advance(60 * MINUTE);
    const first = await send(to, "r-1");
    await reopen();
    clock.advance(MINUTE - 1000);
    const again = await send(to, "r-1");
    expect(again).toEqual({ message: first.message, duplicate: true });
  },
);

test("a marked ref is known for ever", async () => {
  const first = await send("@bob", "r-1");
  clock.advance(10_000 * MINUTE);
  await reopen();
  expect(await send("@bob", "r-1", true)).toEqual({ message: first.message, duplicate: true });
});

test("an unmarked ref is held for at least a minute while others are sent", async () => {
  const first = await send("@bob", "phone-1");
  for (let n = 0; n < 59; n++) {
    clock.advance(1000);
    await send("@bob", `phone-${n + 2}`);
    await send("@bob", `other-${n}`);
  }
  expect(await send("@bob", "phone-1")).toEqual({ message: first.message, duplicate: true });
});

test("sends earn their rate with time, up to the burst", async () => {
  const { sendsBurst, sendsPerSecond } = DEFAULT_LIMITS;
  let sent = 0;
  const sendUntilRefused = async (): Promise<number> => {
    for (let count = 0; ; count++) {
      const refused = await send("@alice", `r-${++sent}`).then(
        () => undefined,
        (error: { code: string; retryAfterMs: number }) => error,
      );
      if (refused === undefined) continue;
      expect(refused.code).toBe("rate_limited");
      clock.advance(refused.retryAfterMs);
      return count;
    }
  };
  expect(await sendUntilRefused()).toBe(sendsBurst);
  expect(await sendUntilRefused()).toBe(sendsPerSecond / 4);
  clock.advance(10 * MINUTE);
  expect(await sendUntilRefused()).toBe(sendsBurst);
});

test.each(["@nobody", "#nowhere"])(
  "a send to %s, which is not there, takes from the sender's rate as any other",
  async (to) => {
    const code = (): Promise<string> =>
      send(to, `r-${clock.now()}`).then(
        () => "sent",
        (error: { code: string }) => error.code,
      );
    for (let n = 0; n < DEFAULT_LIMITS.sendsBurst; n++) expect(await code()).toBe("unknown_address");
    expect(await code()).toBe("rate_limited");
  },
);

/** What a start does with what the crash before it may have cut off. */
async function offerAll(): Promise<void> {
  await host.offerAll();
}

const bob = { user: "bob", device: "phone" } as Actor;
const bobsEntries = async () =>
  (await createHistory((user) => host.home(user), readsForTests()).entries(bob, { after: 0, limit: 100 })).frames;

test("a message that a crash cut off from its receiver is handed over at the next start, once, and before later ones", async () => {
  await send("@bob", "r-1");
  const { log, handle, nextSeq } = host.users.get(alice.user)!;
  await writeRecord(log, () => {
    log.beginEntry(handle, "@bob", "r-2", nextSeq, payloadBytesMax("cut off"));
    writeSent(log.writer, clock.now(), "cut off");
    log.endEntry();
  });
  await host.store.idle();
  for (let start = 0; start < 3; start++) {
    await reopen();
    await offerAll();
    expect(await bobsEntries()).toMatchObject([
      { text: "hello", seq: 1 },
      { text: "cut off", seq: 2 },
    ]);
  }
  const { message, duplicate } = await createMessaging((user) => host.home(user)).send(alice, {
    to: "@bob" as Address,
    text: "cut off",
    ref: "r-2",
    retry: true,
  });
  expect(duplicate).toBe(true);
  expect((await bobsEntries())[1]).toMatchObject({ id: message.id });
  await send("@bob", "r-3");
  expect(await bobsEntries()).toHaveLength(3);
});

test("a membership that a crash cut off is handed over at the next start, once", async () => {
  const log = host.log("#hikers" as Address);
  const handle = new StreamHandle("#hikers", undefined);
  const users = ["alice", "bob"] as UserId[];
  const json = changedJson({ change: "created", by: alice.user, at: clock.now(), name: "hikers", members: users });
  await writeRecord(log, () => {
    log.putCell(handle, "epoch", Buffer.from("abcdefgh"));
    log.beginEntry(handle, CHANGED_LANE, "", 1 as Seq, payloadBytesMax(json));
    writeChanged(log.writer, clock.now(), json);
    log.endEntry();
  });
  await host.store.idle();
  for (let start = 0; start < 3; start++) {
    await reopen();
    await offerAll();
    expect(await bobsEntries()).toMatchObject([
      { t: "membership", conversation: "#hikers", change: "joined", groupSeq: 1 },
    ]);
  }
});
