/** Direct messages from one on its way to saturation, in a closed loop: Parley, the floor, the floor with a bare log. */
import type { Aim, Bench, BenchContext, Chart, Outcome } from "../bench.ts";
import { curveChart, curveTable, ratioIn, type Level } from "../curve.ts";
import { DURABLE_SENT, startDirectSides, type SideName } from "../direct-sides.ts";
import { loadCeiling } from "../load/ceiling.ts";
import type { LoadFigures } from "../load/load.ts";
import { formatFigures } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { loadTexts } from "../measure/texts.ts";

type Parameters = { pairs: number; inFlight: number[]; rounds: number; warmUpMs: number; measureMs: number };
type DirectLevel = Level<SideName, LoadFigures>;

const SMALL: Parameters = {
  pairs: 250,
  inFlight: [1, 8, 50, 250, 1000, 4000],
  rounds: 3,
  warmUpMs: 300,
  measureMs: 900,
};

export const DIRECT: Bench<Parameters> = {
  name: "direct",
  summary: "direct messages from quiet to saturation: rate, CPU a message and latency, beside the floor and a bare log",
  sizes: {
    tiny: { pairs: 4, inFlight: [1, 8], rounds: 1, warmUpMs: 20, measureMs: 80 },
    small: SMALL,
    full: { ...SMALL, inFlight: [1, 2, 4, 8, 20, 50, 100, 250, 500, 1000, 2000, 4000], rounds: 7, measureMs: 3000 },
  },
  async run(parameters, context) {
    const levels = await measure(parameters, context);
    return outcomeOf(levels, context);
  },
};

async function measure(parameters: Parameters, context: BenchContext): Promise<DirectLevel[]> {
  const { pairs, inFlight, rounds, warmUpMs, measureMs } = parameters;
  const { names, loadOf } = await startDirectSides(context, pairs, loadTexts(context.corpus).lines);
  const { progress } = context;
  progress.phase("closed loop", inFlight.length * rounds * names.length);
  const levels: DirectLevel[] = [];
  for (const count of inFlight) {
    const users = Math.min(count, pairs * 2);
    const round = { windowPerUser: Math.max(1, Math.round(count / users)), users, warmUpMs, measureMs };
    const measured = await inTurns(names, rounds, async (name) => {
      const figures = await loadOf(name).closed(round);
      progress.advance();
      return figures;
    });
    levels.push({ x: count, name: `${count} on their way`, rounds: measured });
  }
  return levels;
}

function outcomeOf(levels: DirectLevel[], { beside }: BenchContext): Outcome {
  const [quiet, busy] = [levels[0]!, levels.at(-1)!];
  const other: SideName = beside === undefined ? "floor" : "beside";
  const ratio = (level: DirectLevel, key: keyof LoadFigures, side: SideName = other) =>
    ratioIn(level, key, "parley", side);
  const shown = (level: DirectLevel, key: keyof LoadFigures) => formatFigures(ratio(level, key));
  return {
    finding:
      `At saturation (${busy.name}) Parley delivers ${shown(busy, "deliveredPerSecond")} of the rate of the ${other} at ` +
      `${shown(busy, "serverCpuMicros")} times its CPU a message; with ${quiet.name} it takes ` +
      `${shown(quiet, "p50Ms")} times as long.`,
    durable: DURABLE_SENT,
    notes: [loadCeiling(levels.flatMap(({ rounds }) => rounds[other]))],
    aims: beside === undefined ? aims(busy) : [],
    tables: [
      curveTable("Rate and cost", levels, [
        { title: "delivered/s", key: "deliveredPerSecond" },
        { title: "CPU µs", key: "serverCpuMicros" },
      ]),
      curveTable("Latency, send to receipt, ms", levels, [
        { title: "p50", key: "p50Ms" },
        { title: "p99", key: "p99Ms" },
      ]),
      curveTable("How busy the cores were", levels, [
        { title: "server", key: "serverCores" },
        { title: "load", key: "loadCores" },
      ]),
    ],
    charts: charts(levels),
    figures: {
      levels: levels.map((level) => ({
        inFlight: level.x,
        throughputRatio: ratio(level, "deliveredPerSecond"),
        cpuRatio: ratio(level, "serverCpuMicros"),
        ...(beside === undefined && { cpuOverBareLog: ratio(level, "serverCpuMicros", "bare log") }),
        rounds: level.rounds,
      })),
    },
  };
}

const aims = (busy: DirectLevel): Aim[] => [
  {
    what: "at saturation, throughput over the floor's",
    atLeast: 0.7,
    measured: ratioIn(busy, "deliveredPerSecond", "parley", "floor").median,
    unit: "times",
  },
  {
    what: "at saturation, CPU a message over the floor's",
    atMost: 1.6,
    measured: ratioIn(busy, "serverCpuMicros", "parley", "floor").median,
    unit: "times",
  },
];

function charts(levels: DirectLevel[]): Chart[] {
  const x = { label: "messages on their way (sent, no receipt yet)", isLog: true };
  return [
    curveChart(levels, "deliveredPerSecond", {
      title: "Direct messages delivered a second",
      how: "Higher is better. The curve bends where server and load together have used up the cores.",
      x,
      y: { label: "messages a second", isLog: true },
    }),
    curveChart(levels, "serverCpuMicros", {
      title: "Server CPU a message",
      how: "Lower is better. On the left every message wakes the server by itself; on the right many share a wake-up and a write.",
      x,
      y: { label: "µs", isLog: true },
    }),
    curveChart(levels, "p50Ms", {
      title: "From send to receipt, p50",
      how: "Lower is better. On the right messages wait for each other, so the time is their number over the rate.",
      x,
      y: { label: "ms", isLog: true },
    }),
    curveChart(levels, "p99Ms", {
      title: "From send to receipt, p99",
      how: "Lower is better. One message in a hundred takes longer.",
      x,
      y: { label: "ms", isLog: true },
    }),
  ];
}
