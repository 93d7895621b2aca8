import { describe, expect, test } from "bun:test";
import { closedRound, derived, medianFigures, restartOf } from "../../bench/e2e/e2e-result.ts";
import type { LoadFigures } from "../../bench/load/load.ts";
import { formatRange, median, rangeOf } from "../../bench/measure/ranges.ts";

const figures = (deliveredPerSecond: number, serverCpuMicros: number): LoadFigures => ({
  delivered: 1,
  seconds: 1,
  deliveredPerSecond,
  serverCpuMicros,
  loadCpuMicros: 1,
  serverCores: 1,
  loadCores: 1,
  p50Ms: 1,
  p99Ms: 1,
  p999Ms: 1,
  maxMs: 1,
});

test("a ratio is Parley's figure over the floor's in the same round", () => {
  const round = closedRound(figures(100, 10), figures(80, 14), false);
  expect(round.throughputRatio).toBe(0.8);
  expect(round.cpuRatio).toBe(1.4);
});

describe("of the rounds", () => {
  const rounds = [
    closedRound(figures(200, 5), figures(100, 12), false),
    closedRound(figures(100, 6), figures(40, 24), true),
    closedRound(figures(400, 4), figures(120, 10), false),
    closedRound(figures(200, 5), figures(110, 15), true),
  ];
  const restarts = [
    restartOf(figures(100, 1), figures(95, 1), 2),
    restartOf(figures(100, 1), figures(70, 1), 2),
    restartOf(figures(100, 1), figures(90, 1), 2),
  ];
  const result = derived(rounds, restarts);

  test("the ratios are medians, with the least and the greatest beside them", () => {
    expect([result.throughputRatio, result.ranges.throughputRatio]).toEqual([
      0.45,
      { median: 0.45, min: 0.3, max: 0.55 },
    ]);
    expect([result.cpuRatio, result.ranges.cpuRatio]).toEqual([2.75, { median: 2.75, min: 2.4, max: 4 }]);
    expect(result.ranges.floor.deliveredPerSecond).toEqual({ median: 200, min: 100, max: 400 });
    expect(result.ranges.parley.serverCpuMicros).toEqual({ median: 13.5, min: 10, max: 24 });
  });

  test("Parley's most expensive round over its cheapest is shown, and the cost of rounds with a flush beside the others", () => {
    expect(result.worstOverBest).toBe(2.4);
    expect(result.flushes).toEqual({
      rounds: 2,
      serverCpuMicros: { median: 19.5, min: 15, max: 24 },
      otherServerCpuMicros: { median: 11, min: 10, max: 12 },
    });
    expect(derived(rounds.slice(0, 1), restarts).flushes).toEqual({
      rounds: 0,
      otherServerCpuMicros: { median: 12, min: 12, max: 12 },
    });
  });

  test("the rate right after a restart is put over the rate right before it", () => {
    expect(restarts.map(({ ratio }) => ratio)).toEqual([0.95, 0.7, 0.9]);
    expect([result.restartedRatio, result.ranges.restartedRatio]).toEqual([0.9, { median: 0.9, min: 0.7, max: 0.95 }]);
  });
});

test("the median of an even count lies between the middle two", () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(rangeOf([])).toEqual({ median: Number.NaN, min: Number.NaN, max: Number.NaN });
});

test("a range is shown behind its median where there is one", () => {
  expect(formatRange(rangeOf([0.45, 0.56, 0.52]), 2)).toBe("0.52 (0.45–0.56)");
  expect(formatRange(rangeOf([1.301, 1.302]), 1)).toBe("1.3");
});

test("figures get their medians one by one, not from the middle round", () => {
  const all = medianFigures([figures(1, 30), figures(2, 10), figures(3, 20)]);
  expect(all.deliveredPerSecond).toBe(2);
  expect(all.serverCpuMicros).toBe(20);
});
