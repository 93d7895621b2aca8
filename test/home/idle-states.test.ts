/** Users and groups that nobody needs leave memory, flushed or not, and come back as they were. */
import { afterEach, expect, test } from "bun:test";
import type { Address, GroupAddress, UserId } from "../../src/domain/address.ts";
import { CELLS_LAG_MAX } from "../../src/home/state/cells.ts";
import { LoadBudget } from "../../src/home/state/load-budget.ts";
import { StateTable } from "../../src/home/state/state-table.ts";
import { RestartedShards } from "./restarted-shards.ts";
import { until } from "../support/wait.ts";

const [ANN, BEN] = ["ann", "ben"] as [UserId, UserId];
const CLUB = "#club" as GroupAddress;

let shards: RestartedShards;

afterEach(() => shards.host.stop());

async function begin(usersLoadedMax: number): Promise<void> {
  shards = new RestartedShards(usersLoadedMax);
  await shards.begin([ANN, BEN], CLUB);
}

async function say(from: UserId, to: string, times: number): Promise<void> {
  for (let at = 0; at < times; at++) {
    const ref = `${from}${to}${++refs}`;
    expect((await shards.send(from, { to: to as Address, ref, text: "hello", retry: false })).sent).toBeDefined();
  }
}
let refs = 0;

/** What the server's second brings: all that has been sent may be sent again, and idle states are looked for. */
function aSecondPasses(): void {
  shards.passedMs += 1000;
  shards.host.lookForIdle();
}

const isLoaded = (user: UserId): boolean => shards.host.users.peek(user) !== undefined;

test("users and groups of whom nothing was flushed leave memory all the same, and come back with all they had", async () => {
  await begin(0);
  await say(ANN, "@ben", 20);
  await say(BEN, "#club", 3);
  aSecondPasses();
  await until(
    "nobody is loaded",
    () => !isLoaded(ANN) && !isLoaded(BEN) && shards.host.groups.peek(CLUB) === undefined,
  );
  expect(shards.host.users.get(BEN)!.conversation("@ann" as Address).incoming).toBe(20);
  expect(shards.host.groups.get(CLUB)!.headSeq).toBe(4 as never);
});

test("a user with so many new entries that the next flush writes their cells stays until it has", async () => {
  await begin(0);
  await say(ANN, "@ben", CELLS_LAG_MAX);
  aSecondPasses();
  await new Promise((resolve) => setImmediate(resolve));
  expect(isLoaded(ANN)).toBe(true);
  await shards.flush();
  aSecondPasses();
  await until("it has left", () => !isLoaded(ANN));
});

test("who was refused for sending too much does not get a new allowance by leaving memory", async () => {
  await begin(0);
  shards.host.limits.sendsPerSecond = 1;
  shards.host.limits.sendsBurst = 2;
  await say(ANN, "@ben", 2);
  shards.host.lookForIdle();
  await new Promise((resolve) => setImmediate(resolve));
  const request = { to: "@ben" as Address, ref: "one-more", text: "hello", retry: false };
  expect(await shards.send(ANN, request)).toEqual({ code: "rate_limited" });
});

test("what states have grown by counts as others are loaded", async () => {
  type State = { bytes: number; heldBytes: number };
  const budget = new LoadBudget(1000);
  const load = function* (): Generator<void, State> {
    yield;
    return { bytes: 100, heldBytes: 0 };
  };
  const states = new StateTable<number, State>(load, () => true, budget);
  const grown = states.get(0)!;
  grown.bytes = 2000;
  for (let name = 1; name < 4; name++) states.get(name);
  expect(budget.bytes).toBe(2300);
  await until("room was made", () => budget.bytes <= 1000);
  expect(states.peek(0)).toBeUndefined();
  expect(states.peek(3)).toBeDefined();
});
