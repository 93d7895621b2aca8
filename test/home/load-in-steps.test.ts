/** A user that is loaded in steps is the user that is loaded at once, whatever happens between the steps. */
import { afterEach, expect, test } from "bun:test";
import { atOnce } from "../../src/base/steps.ts";
import { createLogger } from "../../src/base/logger.ts";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import { createMessaging } from "../../src/home/sending/messaging.ts";
import type { Actor } from "../../src/home/services.ts";
import { createUserCells } from "../../src/home/accounts/user-cells.ts";
import { encodeProfile } from "../../src/home/state/account-cells.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import type { UserState } from "../../src/home/state/user-state.ts";
import { HandClock } from "./hand-clock.ts";
import { dataDirectory, type DataDirectory } from "../support/data-directory.ts";

const BOT = "bot" as UserId;
const PEERS = 700;
const peer = (n: number): UserId => `peer${n}` as UserId;

let data: DataDirectory;
let host: ShardHost;
const clock = new HandClock();

afterEach(async () => {
  await host.store.close();
  data.remove();
});

async function open(): Promise<void> {
  const ports = { clock, ids: new MessageIds(new Uint8Array(16)), limits: DEFAULT_LIMITS };
  host = await ShardHost.open(
    { directory: data.path },
    { ...ports, logger: createLogger("error", () => {}, clock.now) },
    () => {},
  );
}

async function say(from: UserId, to: UserId, ref: string): Promise<number> {
  const actor = { user: from, device: "phone" } as Actor;
  const { message } = await createMessaging((user) => host.home(user)).send(actor, {
    to: userAddress(to),
    text: ref,
    ref,
    retry: false,
  });
  return message.seq;
}

/** Everybody has written to the bot, and it has written back to some; part of that is flushed. Nobody is loaded. */
async function begin(): Promise<void> {
  data = await dataDirectory();
  await open();
  const cells = createUserCells((user) => host.home(user));
  const create = (user: UserId) =>
    cells.create(user, [["profile", encodeProfile(user, { createdAt: clock.now(), displayName: user })]]);
  await Promise.all([BOT, ...Array.from({ length: PEERS }, (_, n) => peer(n))].map(create));
  await Promise.all(Array.from({ length: PEERS }, (_, n) => say(peer(n), BOT, `a-${n}`)));
  await host.store.flushAll(() => false);
  await Promise.all(Array.from({ length: PEERS }, (_, n) => say(peer(n), BOT, `b-${n}`)));
  await say(BOT, peer(0), "c-1");
  await host.store.close();
  await open();
}

const plain = (user: UserState): unknown => ({
  heads: [user.headSeq, user.nextSeq, user.received, user.markCount],
  conversations: [...user.conversations.values()].map((conversation) => ({ ...conversation, isDirty: false })),
});

/** Loads the bot but for its last steps. */
function halfLoaded(): ReturnType<ShardHost["users"]["steps"]> {
  const steps = host.users.steps(BOT);
  for (let step = 0; step < 3; step++) expect(steps.next().done).toBe(false);
  return steps;
}

test("a message that comes in the middle of a load is counted once, and numbered behind all that was there", async () => {
  await begin();
  const steps = halfLoaded();
  expect(await say(peer(5), BOT, "d-1")).toBeGreaterThan(0);
  const bot = atOnce(steps)!;
  expect([bot.headSeq, bot.conversations.get(userAddress(peer(5)))?.incoming]).toEqual([2 * PEERS + 2, 3]);
  const before = plain(bot);
  await host.store.close();
  await open();
  expect(plain(host.users.get(BOT)!)).toEqual(before);
});

test("a flush in the middle of a load changes nothing of what is loaded", async () => {
  await begin();
  const expected = plain(host.users.get(BOT)!);
  await host.store.close();
  await open();
  const steps = halfLoaded();
  await host.store.flushAll(() => false);
  expect(plain(atOnce(steps)!)).toEqual(expected);
  await host.store.close();
  await open();
  const again = halfOfCells();
  await host.store.flushAll(() => false);
  expect(plain(atOnce(again)!)).toEqual(expected);
});

/** All is flushed by now: the steps are those of cells. */
function halfOfCells(): ReturnType<ShardHost["users"]["steps"]> {
  const steps = host.users.steps(BOT);
  expect(steps.next().done).toBe(false);
  return steps;
}
