import { expect, test } from "bun:test";
import { isMet } from "../../bench/bench.ts";
import { curveChart, curveTable, ratioIn } from "../../bench/curve.ts";
import { inTurns, ratioOf } from "../../bench/measure/rounds.ts";

test("every side is measured once a round, and each round begins with another side", async () => {
  const order: string[] = [];
  const all = await inTurns(["a", "b", "c"], 4, async (side, round) => {
    order.push(side);
    return `${side}${round}`;
  });
  expect(order.join("")).toBe("abcbcacababc");
  expect(all).toEqual({ a: ["a0", "a1", "a2", "a3"], b: ["b0", "b1", "b2", "b3"], c: ["c0", "c1", "c2", "c3"] });
});

test("a ratio is taken within a round, and the median of the ratios counts", () => {
  expect(ratioOf([10, 90, 12], [5, 100, 10])).toEqual({ median: 1.2, min: 0.9, max: 2 });
});

const LEVEL = { x: 8, name: "eight", rounds: { ours: [{ cpu: 2 }, { cpu: 4 }], theirs: [{ cpu: 1 }, { cpu: 8 }] } };

test("a level becomes a point with its range in the chart, and a row in the table", () => {
  const chart = curveChart([LEVEL], "cpu", { title: "", how: "", x: { label: "" }, y: { label: "" } });
  expect(chart.series).toEqual([
    { name: "ours", points: [{ x: 8, y: { median: 3, min: 2, max: 4 } }] },
    { name: "theirs", points: [{ x: 8, y: { median: 4.5, min: 1, max: 8 } }] },
  ]);
  expect(curveTable("", [LEVEL], [{ title: "CPU", key: "cpu" }])).toMatchObject({
    columns: ["median (min–max)", "CPU: ours", "theirs"],
    rows: [["eight", "3.00 (2.00–4.00)", "4.50 (1.00–8.00)"]],
  });
  expect(ratioIn(LEVEL, "cpu", "ours", "theirs")).toEqual({ median: 1.25, min: 0.5, max: 2 });
});

test("an aim is met, missed, or not measured", () => {
  const aim = { what: "", unit: "" };
  expect(isMet({ ...aim, atMost: 2, measured: 2 })).toBe(true);
  expect(isMet({ ...aim, atMost: 2, measured: 2.1 })).toBe(false);
  expect(isMet({ ...aim, atLeast: 0.7, measured: 0.6 })).toBe(false);
  expect(isMet({ ...aim, atMost: 2, measured: Number.NaN })).toBeUndefined();
});
