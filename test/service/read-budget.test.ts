/** Reads have a rate, in entries that were looked at and not in calls. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { UserId } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { ReadBudget } from "../../src/service/read-budget.ts";
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
