/**
 * Result of the e2e suite: the figures of each round, their medians and ranges, the ratios of Parley to the floor, and
 * restarts.
 */
import type { LoadFigures } from "../load/load.ts";
import { median, rangeOf, round3, type Range } from "../measure/ranges.ts";

export type SidePair<T> = { floor: T; parley: T };
/** `isFlushed`: Parley flushed its memory to files during its part of the round, which costs CPU. */
export type ClosedRound = SidePair<LoadFigures> & { throughputRatio: number; cpuRatio: number; isFlushed: boolean };
/** Rates right before and right after a restart of Parley. `ratio` is after over before. */
export type Restart = { before: LoadFigures; after: LoadFigures; ratio: number; secondsAway: number };

export type E2eParameters = {
  pairs: number;
  /** Undelivered messages that each user keeps, in the closed loop. */
  windowPerUser: number;
  rounds: number;
  openRounds: number;
  /** Messages a second of the second open loop. It runs until Parley has flushed in a round, or `fixedRoundsMax`. */
  fixedRate: number;
  fixedRounds: number;
  fixedRoundsMax: number;
  restarts: number;
  fanoutMembers: number;
  fanoutRounds: number;
  warmUpMs: number;
  measureMs: number;
  /** Share of the smaller closed-loop throughput that the open loop runs at. */
  openShare: number;
};

/** An open loop at a fixed rate. `isFlushed`: Parley flushed its memory to files in that round. */
export type FlushedOpen = SidePair<LoadFigures> & { isFlushed: boolean };

type SideRanges = { deliveredPerSecond: Range; serverCpuMicros: Range };

export type E2eFigures = {
  parameters: E2eParameters & { sockets: number; texts: "corpus" | "made-up"; textMeanBytes: number };
  /** Median over the closed rounds of Parley's figure over the floor's in the same round. */
  throughputRatio: number;
  cpuRatio: number;
  /** Parley's CPU a message in its most expensive closed round, over that in its cheapest. */
  worstOverBest: number;
  /** Median over the restarts, of the rate right after over the rate right before. */
  restartedRatio: number;
  /** Parley's CPU a delivered message over the bare server's, in the largest group. */
  fanoutRatio: number;
  /** Parley's latency at the fixed rate. */
  openLoop5000: OpenLoop;
  /** Ranges over the closed rounds and over the restarts. */
  ranges: SidePair<SideRanges> & { throughputRatio: Range; cpuRatio: Range; restartedRatio: Range; fanoutRatio: Range };
  /** Parley's CPU a message with flushes and without, closed rounds; undefined where there was no such round. */
  flushes: { rounds: number; serverCpuMicros?: Range; otherServerCpuMicros?: Range };
  medians: SidePair<LoadFigures>;
  open: { ratePerSecond: number; medians: SidePair<LoadFigures>; rounds: SidePair<LoadFigures>[] };
  rounds: ClosedRound[];
  fixed: FlushedOpen[];
  restarts: Restart[];
  delivered: number;
  lost: 0;
};

/** Medians of the rounds with a flush, or of all rounds if there was none. */
export type OpenLoop = {
  ratePerSecond: number;
  p50Ms: number;
  p99Ms: number;
  serverCpuMicros: number;
  rounds: number;
  flushedRounds: number;
  ranges: { p50Ms: Range; p99Ms: Range };
};

export function openLoopOf(ratePerSecond: number, rounds: readonly FlushedOpen[]): OpenLoop {
  const flushed = rounds.filter(({ isFlushed }) => isFlushed);
  const counted = (flushed.length > 0 ? flushed : rounds).map(({ parley }) => parley);
  const { p50Ms, p99Ms, serverCpuMicros } = medianFigures(counted);
  const rangeIn = (key: "p50Ms" | "p99Ms") => rangeOf(counted.map((figures) => figures[key]));
  return {
    ...{ ratePerSecond, p50Ms, p99Ms, serverCpuMicros, rounds: rounds.length, flushedRounds: flushed.length },
    ranges: { p50Ms: rangeIn("p50Ms"), p99Ms: rangeIn("p99Ms") },
  };
}

export function closedRound(floor: LoadFigures, parley: LoadFigures, isFlushed: boolean): ClosedRound {
  return {
    floor,
    parley,
    throughputRatio: round3(parley.deliveredPerSecond / floor.deliveredPerSecond),
    cpuRatio: round3(parley.serverCpuMicros / floor.serverCpuMicros),
    isFlushed,
  };
}

export function restartOf(before: LoadFigures, after: LoadFigures, secondsAway: number): Restart {
  return { before, after, ratio: round3(after.deliveredPerSecond / before.deliveredPerSecond), secondsAway };
}

/** The median of each figure by itself. */
export function medianFigures(all: LoadFigures[]): LoadFigures {
  const first = all[0];
  if (first === undefined) throw new Error("no rounds to take a median of");
  const names = Object.keys(first) as (keyof LoadFigures)[];
  return Object.fromEntries(
    names.map((name) => [name, round3(median(all.map((figures) => figures[name])))]),
  ) as LoadFigures;
}

export function medianSides(rounds: SidePair<LoadFigures>[]): SidePair<LoadFigures> {
  return {
    floor: medianFigures(rounds.map((round) => round.floor)),
    parley: medianFigures(rounds.map((round) => round.parley)),
  };
}

/** What follows from the rounds and the restarts. */
export function derived(
  rounds: ClosedRound[],
  restarts: Restart[],
): Pick<E2eFigures, "throughputRatio" | "cpuRatio" | "worstOverBest" | "restartedRatio" | "flushes" | "medians"> & {
  ranges: Omit<E2eFigures["ranges"], "fanoutRatio">;
} {
  const ranges = {
    throughputRatio: rangeOf(rounds.map((round) => round.throughputRatio)),
    cpuRatio: rangeOf(rounds.map((round) => round.cpuRatio)),
    restartedRatio: rangeOf(restarts.map(({ ratio }) => ratio)),
    floor: sideRanges(rounds.map(({ floor }) => floor)),
    parley: sideRanges(rounds.map(({ parley }) => parley)),
  };
  return {
    throughputRatio: ranges.throughputRatio.median,
    cpuRatio: ranges.cpuRatio.median,
    worstOverBest: round3(ranges.parley.serverCpuMicros.max / ranges.parley.serverCpuMicros.min),
    restartedRatio: ranges.restartedRatio.median,
    ranges,
    flushes: flushes(rounds),
    medians: medianSides(rounds),
  };
}

function sideRanges(figures: LoadFigures[]): SideRanges {
  return {
    deliveredPerSecond: rangeOf(figures.map(({ deliveredPerSecond }) => deliveredPerSecond)),
    serverCpuMicros: rangeOf(figures.map(({ serverCpuMicros }) => serverCpuMicros)),
  };
}

function flushes(rounds: ClosedRound[]): E2eFigures["flushes"] {
  const cpu = (isFlushed: boolean) =>
    rounds.filter((round) => round.isFlushed === isFlushed).map(({ parley }) => parley.serverCpuMicros);
  const [flushed, others] = [cpu(true), cpu(false)];
  return {
    rounds: flushed.length,
    ...(flushed.length > 0 && { serverCpuMicros: rangeOf(flushed) }),
    ...(others.length > 0 && { otherServerCpuMicros: rangeOf(others) }),
  };
}
