import { expect, test } from "bun:test";
import { closedRound, median, medianFigures } from "../../bench/e2e-result.ts";
import type { LoadFigures } from "../../bench/load.ts";

const figures = (deliveredPerSecond: number, serverCpuMicros: number): LoadFigures => ({
  delivered: 1,
  seconds: 1,
  deliveredPerSecond,
  serverCpuMicros,
  loadCpuMicros: 1,
  p50Ms: 1,
  p99Ms: 1,
  p999Ms: 1,
  maxMs: 1,
});

test("a ratio is Parley's figure over the floor's", () => {
  const round = closedRound(figures(100, 10), figures(80, 14));
  expect(round.throughputRatio).toBe(0.8);
  expect(round.cpuRatio).toBe(1.4);
});

test("the median of an even count lies between the middle two", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

test("figures get their medians one by one, not from the middle round", () => {
  const all = medianFigures([figures(1, 30), figures(2, 10), figures(3, 20)]);
  expect(all.deliveredPerSecond).toBe(2);
  expect(all.serverCpuMicros).toBe(20);
});
