/** Figures of several sides at several points, such as rates: as tables and charts. */
import type { Axis, Chart, Series, Table } from "./bench.ts";
import { formatFigures, rangeOf, type Range } from "./measure/ranges.ts";
import { ratioOf } from "./measure/rounds.ts";

/** One point: the rounds of each side. */
export type Level<Side extends string, Figures> = { x: number; name: string; rounds: Record<Side, Figures[]> };
type Key<Figures> = { [Name in keyof Figures]: Figures[Name] extends number ? Name : never }[keyof Figures];
export type Shown<Figures> = { title: string; key: Key<Figures> };

export function rangeIn<Figures>(rounds: readonly Figures[], key: Key<Figures>): Range {
  return rangeOf(rounds.map((figures) => figures[key] as number));
}

export function ratioIn<Side extends string, Figures>(
  { rounds }: Level<Side, Figures>,
  key: Key<Figures>,
  ours: Side,
  theirs: Side,
): Range {
  const of = (side: Side) => rounds[side].map((figures) => figures[key] as number);
  return ratioOf(of(ours), of(theirs));
}

export function curveChart<Side extends string, Figures>(
  levels: readonly Level<Side, Figures>[],
  key: Key<Figures>,
  chart: { title: string; how: string; x: Axis; y: Axis; aim?: NonNullable<Chart["aim"]> },
): Chart {
  const sides = Object.keys(levels[0]?.rounds ?? {}) as Side[];
  const series = sides.map((name): Series => ({
    name,
    points: levels.map(({ x, rounds }) => ({ x, y: rangeIn(rounds[name], key) })),
  }));
  return { ...chart, series };
}

/** The same as bars, named by the levels. */
export function barChart<Side extends string, Figures>(
  levels: readonly Level<Side, Figures>[],
  key: Key<Figures>,
  chart: { title: string; how: string; y: Axis; aim?: NonNullable<Chart["aim"]> },
): Chart {
  const numbered = levels.map((level, x) => ({ ...level, x }));
  const drawn = curveChart(numbered, key, { ...chart, x: { label: "" } });
  return { ...drawn, x: { label: "", names: levels.map(({ name }) => name) } };
}

/** A row for each point, and for each figure a column a side. */
export function curveTable<Side extends string, Figures>(
  title: string,
  levels: readonly Level<Side, Figures>[],
  shown: readonly Shown<Figures>[],
): Table {
  const sides = Object.keys(levels[0]?.rounds ?? {}) as Side[];
  const columns = shown.flatMap((figure) => sides.map((side, at) => (at === 0 ? `${figure.title}: ${side}` : side)));
  const rows = levels.map(({ name, rounds }) => [
    name,
    ...shown.flatMap(({ key }) => sides.map((side) => formatFigures(rangeIn(rounds[side], key)))),
  ]);
  return { title, columns: ["median (min–max)", ...columns], rows };
}
