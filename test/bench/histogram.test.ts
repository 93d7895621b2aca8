import { expect, test } from "bun:test";
import { Histogram } from "../../bench/measure/histogram.ts";

test("a percentile is within 2 % of the exact one, from microseconds to minutes", () => {
  for (const scaleMs of [0.01, 1, 100, 60_000]) {
    const histogram = new Histogram();
    for (let at = 1; at <= 10_000; at++) histogram.record((at * scaleMs) / 10_000);
    for (const percent of [50, 99, 99.9]) {
      const exact = (percent / 100) * scaleMs;
      // One microsecond is the finest step there is.
      expect(Math.abs(histogram.percentile(percent) - exact)).toBeLessThanOrEqual(Math.max(exact * 0.02, 0.001));
    }
    expect(histogram.count).toBe(10_000);
  }
});

test("one slow message in a hundred shows in p99.9 and not in p50", () => {
  const histogram = new Histogram();
  for (let at = 0; at < 1000; at++) histogram.record(at % 100 === 0 ? 500 : 1);
  expect(histogram.percentile(50)).toBeCloseTo(1, 1);
  expect(histogram.percentile(99.9)).toBeGreaterThan(490);
  expect(histogram.maxMs).toBe(500);
});

test("an empty histogram has no percentile, and clearing empties it", () => {
  const histogram = new Histogram();
  expect(histogram.percentile(50)).toBeNaN();
  histogram.record(3);
  histogram.clear();
  expect(histogram.count).toBe(0);
  expect(histogram.percentile(50)).toBeNaN();
});
