/** Rounds in turns: every side is measured once a round, so that disturbances by the machine hit all of them. */
import { rangeOf, type Range } from "./ranges.ts";

/** Each round begins with another side, because the first pays for what the side before it left. */
export async function inTurns<Side extends string, Figures>(
  sides: readonly Side[],
  rounds: number,
  measure: (side: Side, round: number) => Promise<Figures>,
): Promise<Record<Side, Figures[]>> {
  const all = Object.fromEntries(sides.map((side) => [side, []])) as unknown as Record<Side, Figures[]>;
  for (let round = 0; round < rounds; round++) {
    const first = round % sides.length;
    for (const side of [...sides.slice(first), ...sides.slice(0, first)]) all[side].push(await measure(side, round));
  }
  return all;
}

/** Ours over theirs in the same round. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Range {
  return rangeOf(ours.map((value, round) => value / (theirs[round] ?? Number.NaN)));
}
