import { expect, test } from "bun:test";
import { RateBuckets } from "../../src/base/rate-buckets.ts";
import { HandClock } from "../home/hand-clock.ts";

const RATE = { perSecond: 1, burst: 2 };

test("each key has its own rate, and a refusal makes no debt", () => {
  const clock = new HandClock();
  const buckets = new RateBuckets(clock);
  expect([1, 2, 3, 4, 5].map(() => buckets.take("a", RATE))).toEqual([0, 0, 1000, 1000, 1000]);
  expect(buckets.take("b", RATE)).toBe(0);
  clock.advance(1000);
  expect(buckets.take("a", RATE)).toBe(0);
});

test("of very many keys, full buckets are dropped first, then the oldest", () => {
  const SLOW = { perSecond: 0.001, burst: 1 };
  const clock = new HandClock();
  const buckets = new RateBuckets(clock);
  for (let n = 0; n < 100; n++) buckets.take(`idle-${n}`, RATE);
  clock.advance(3000);
  for (let n = 0; n < 49_901; n++) buckets.take(`key-${n}`, SLOW);
  // The idle ones were not enough to make room for many.
  expect(buckets.size).toBe(40_000);
  expect(buckets.take("key-49900", SLOW)).toBeGreaterThan(0);
  expect(buckets.take("key-0", SLOW)).toBe(0);
});
