/** Reads have a rate, in entries that were looked at and not in calls. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { UserId } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { ReadBudget } from "../../src/home/reading/read-budget.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { HandClock } from "./hand-clock.ts";

const [ann, ben] = ["ann", "ben"] as [UserId, UserId];

test("a user who has read more than their budget waits for it to come back, and others do not wait with them", () => {
  const clock = new HandClock();
  const budget = new ReadBudget({ perSecond: 100, burst: 1000 }, clock);
  budget.check(ann);
  budget.spend(ann, 1490);
  expect(() => budget.check(ann)).toThrow("more than 100 messages a second");
  budget.check(ben);
  clock.advance(4000);
  expect(() => budget.check(ann)).toThrow();
  clock.advance(1100);
  budget.check(ann);
});

test("calls that find nothing cost something, too", () => {
  const clock = new HandClock();
  const budget = new ReadBudget({ perSecond: 100, burst: 1000 }, clock);
  for (let n = 0; n < 100; n++) {
    budget.check(ann);
    budget.spend(ann, 0);
  }
  budget.spend(ann, 0);
  expect(() => budget.check(ann)).toThrow();
});

let node: TestNode;
let owner: Credentials;
beforeAll(async () => {
  node = await startTestNode({ readRate: 100, sendRate: 100_000, sendBurst: 100_000 });
  owner = (await node.api.users("ann", "ben"))[0]!;
  const device = await node.connect(owner);
  await node.api.group(owner, "club", ["ben"]);
  for (let n = 0; n < 200; n++) device.post(n % 2 === 0 ? "@ben" : "#club", `${n}`);
  await device.takeMany("sent", 200);
});
afterAll(() => node.stop());

test.each([
  ["pages of a history", "/v1/conversations/%40ben/messages?limit=200"],
  ["entries", "/v1/entries?limit=200"],
  ["a conversation with unread messages to count", "/v1/conversations/%23club?messages=100"],
  ["the list of conversations", "/v1/conversations?messages=100"],
])("%s: after about a burst of entries comes 429 with the time to wait, and sends go on", async (_, path) => {
  const [who] = await node.api.users("ben");
  const { token } = path.includes("ben") || path.includes("entries") ? owner : who!;
  let calls = 0;
  for (;;) {
    const { status, body, headers } = await node.api.get(path, token);
    if (status === 429) {
      expect(body).toMatchObject({ code: "rate_limited", retryAfterMs: expect.any(Number) });
      expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
      break;
    }
    expect(status).toBe(200);
    expect(++calls).toBeLessThan(40);
  }
  const sent = await node.api.post("/v1/messages", token, { to: "#club", text: "still here", ref: `r-${path}` });
  expect([200, 201]).toContain(sent.status);
  await node.restart();
});

test("polls from an old cursor cost as much as other reads", async () => {
  const cursor = { epoch: "", timeline: 0, groups: {} };
  for (let polls = 0; ; polls++) {
    const { status, body } = await node.api.post("/v1/sync", owner.token, { cursor });
    if (status !== 200) {
      expect([status, body.code]).toEqual([429, "rate_limited"]);
      break;
    }
    expect(polls).toBeLessThan(40);
  }
  await node.restart();
});

test("sockets that catch up again and again go at the user's rate, get everything, and others do not wait with them", async () => {
  const startedAt = performance.now();
  const devices = Array.from({ length: 6 }, () => node.connect(owner, FROM_THE_BEGINNING));
  const [ben] = await node.api.users("ben");
  const other = await node.connect(ben!, FROM_THE_BEGINNING);
  await other.take("live");
  const all = other.all("message").length;
  for (const device of await Promise.all(devices)) {
    await device.take("live");
    expect(device.all("message")).toHaveLength(all);
  }
  const aboveBurst = 6 * all - 1000;
  expect(aboveBurst).toBeGreaterThan(100);
  // The last page begins as soon as nothing is owed.
  expect(performance.now() - startedAt).toBeGreaterThan(5 * aboveBurst);
});
