/** What the e2e suite says: figures of each round, their medians, and the two ratios of the design's budget. */
import type { LoadFigures } from "./load.ts";
import type { Machine } from "./machine.ts";

export type SidePair<T> = { floor: T; parley: T };
export type ClosedRound = SidePair<LoadFigures> & { throughputRatio: number; cpuRatio: number };

export type E2eParameters = {
  pairs: number;
  sockets: number;
  /** Undelivered messages each user keeps, in the closed loop. */
  windowPerUser: number;
  rounds: number;
  openRounds: number;
  warmUpMs: number;
  measureMs: number;
  texts: "corpus" | "made-up";
  textMeanBytes: number;
  /** Share of the smaller closed-loop throughput that the open loop runs at. */
  openShare: number;
  /** Options of `parley serve` that differ from its defaults. */
  serveArguments: string[];
};

export type E2eResult = {
  suite: "e2e";
  at: string;
  commit: string;
  machine: Machine;
  parameters: E2eParameters;
  throughputRatio: number;
  cpuRatio: number;
  medians: SidePair<LoadFigures>;
  open: { ratePerSecond: number; medians: SidePair<LoadFigures>; rounds: SidePair<LoadFigures>[] };
  rounds: ClosedRound[];
  delivered: number;
  lost: 0;
  seconds: number;
};

export function closedRound(floor: LoadFigures, parley: LoadFigures): ClosedRound {
  return {
    floor,
    parley,
    throughputRatio: round3(parley.deliveredPerSecond / floor.deliveredPerSecond),
    cpuRatio: round3(parley.serverCpuMicros / floor.serverCpuMicros),
  };
}

export function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
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

export function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}

export function formatTable(result: E2eResult): string {
  const { parameters: p, machine: m, medians, open } = result;
  const row = (name: string, floor: string, parley: string, ratio: string) =>
    `  ${name.padEnd(34)}${floor.padStart(12)}${parley.padStart(12)}${ratio.padStart(9)}`;
  const figure = (name: string, key: keyof LoadFigures, digits: number, ratio = "", sides = medians) =>
    row(name, sides.floor[key].toFixed(digits), sides.parley[key].toFixed(digits), ratio);
  return [
    `e2e at ${result.commit}: ${m.cores} × ${m.cpu}, kernel ${m.kernel}, bun ${m.bun}`,
    `${p.sockets} sockets, ${p.windowPerUser} undelivered each, ${p.texts} texts of ${p.textMeanBytes} bytes, ${p.rounds} rounds of ${p.measureMs / 1000} s each side` +
      (p.serveArguments.length > 0 ? `; served with ${p.serveArguments.join(" ")}` : ""),
    row("", "floor", "parley", "ratio"),
    figure("delivered messages a second", "deliveredPerSecond", 0, result.throughputRatio.toFixed(2)),
    figure("server CPU a message, µs", "serverCpuMicros", 1, result.cpuRatio.toFixed(2)),
    figure("load CPU a message, µs", "loadCpuMicros", 1),
    figure("send to receipt p50, ms", "p50Ms", 2),
    figure("send to receipt p99, ms", "p99Ms", 2),
    `  open loop at ${open.ratePerSecond} messages a second, latency from the intended send time`,
    figure("p50, ms", "p50Ms", 2, "", open.medians),
    figure("p99, ms", "p99Ms", 2, "", open.medians),
    figure("p99.9, ms", "p999Ms", 2, "", open.medians),
    figure("server CPU a message, µs", "serverCpuMicros", 1, "", open.medians),
    `  ${result.delivered} messages delivered, none lost, in ${result.seconds.toFixed(0)} s`,
  ].join("\n");
}
