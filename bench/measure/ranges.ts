/** Median, least and greatest value of one figure over several rounds. */

export type Range = { median: number; min: number; max: number };

/** All NaN when there are no values. */
export function rangeOf(values: readonly number[]): Range {
  const [min, max] = values.length === 0 ? [Number.NaN, Number.NaN] : [Math.min(...values), Math.max(...values)];
  return { median: round3(median(values)), min: round3(min), max: round3(max) };
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** `0.52 (0.45–0.56)`; the median alone when all are the same. */
export function formatRange({ median: middle, min, max }: Range, digits: number): string {
  const [shown, from, to] = [middle, min, max].map((value) => value.toFixed(digits)) as [string, string, string];
  return from === to ? shown : `${shown} (${from}–${to})`;
}

/** Three digits, more of large numbers; `-` when it was not measured. */
export const formatFigure = (value: number): string =>
  Number.isNaN(value) ? "-" : value >= 100 ? Math.round(value).toString() : value.toPrecision(3);

/** As many digits as the median needs for three. */
export function formatFigures(range: Range): string {
  const { median: middle } = range;
  const digits = middle >= 100 ? 0 : middle >= 10 ? 1 : 2;
  return Number.isNaN(middle) ? "-" : formatRange(range, digits);
}
