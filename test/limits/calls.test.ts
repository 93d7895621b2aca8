/** Calls over HTTP have a rate before anything is looked up for them. */
import { describe, expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { callRateBounds, CallRates } from "../../src/edge/http/call-rates.ts";
import { HandClock } from "../home/hand-clock.ts";
import { startTestNode } from "../support/test-node.ts";

const withToken = (token: string): Headers => new Headers({ authorization: `Bearer ${token}` });
const STRANGER = new Headers();
const KEY = new Headers({ "x-api-key": "pk_x" });

function heapBytes(): number {
  Bun.gc(true);
  const { heapSize, extraMemorySize } = heapStats();
  return heapSize + extraMemorySize;
}

function setUp() {
  const clock = new HandClock();
  const rates = new CallRates(callRateBounds(10), clock);
  const taken = (count: number, address: string, headers: Headers): number =>
    Array.from({ length: count }, () => rates.refusal(address, headers)).filter((error) => error === undefined).length;
  return { clock, rates, taken };
}

describe("calls:", () => {
  test("more than the rate of a token are refused, and other tokens are not", () => {
    const { clock, rates, taken } = setUp();
    expect(taken(60, "1.2.3.4", withToken("a"))).toBe(40);
    expect(rates.refusal("1.2.3.4", withToken("a"))).toMatchObject({ code: "rate_limited", retryAfterMs: 100 });
    expect(taken(10, "1.2.3.4", withToken("b"))).toBe(10);
    // Refusals make no debt.
    clock.advance(1000);
    expect(taken(60, "1.2.3.4", withToken("a"))).toBe(10);
  });

  test("of strangers have a rate by address, and those who say who they are do not wait with them", () => {
    const { taken } = setUp();
    expect(taken(60, "1.2.3.4", STRANGER)).toBe(40);
    expect(taken(60, "1.2.3.5", STRANGER)).toBe(40);
    expect(taken(30, "1.2.3.4", withToken("a"))).toBe(30);
    expect(taken(30, "1.2.3.4", KEY)).toBe(30);
  });

  test("of one address have a rate in all", () => {
    const { taken } = setUp();
    let all = 0;
    for (let n = 0; n < 10; n++) all += taken(40, "1.2.3.4", withToken(`t${n}`));
    expect(all).toBe(160);
  });

  test("of a token that is as long as a header can be nothing that long is kept", () => {
    const { clock, rates } = setUp();
    const before = heapBytes();
    for (let n = 0; n < 3000; n++, clock.advance(1000)) {
      const token = Buffer.alloc(16_000, `${n} `).toString("latin1");
      expect(rates.refusal("1.2.3.4", withToken(token))).toBeUndefined();
    }
    expect(heapBytes() - before).toBeLessThan(10 << 20);
    expect(rates.refusal("1.2.3.4", withToken("a"))).toBeUndefined();
  });

  test("beyond the rate are answered 429 with the time to wait, and the health calls always are", async () => {
    const node = await startTestNode({ callRate: 2 });
    try {
      const statuses = [];
      for (let n = 0; n < 30; n++) statuses.push((await fetch(`${node.url}/v1/route/@ann`)).status);
      expect(statuses.slice(0, 8)).toEqual(Array(8).fill(200));
      const refused = await fetch(`${node.url}/v1/route/@ann`);
      expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([429, "rate_limited"]);
      for (let n = 0; n < 50; n++) expect((await fetch(`${node.url}/healthz`)).status).toBe(200);
    } finally {
      await node.stop();
    }
  });
});
