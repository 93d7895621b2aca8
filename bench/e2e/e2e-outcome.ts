/** The e2e suite's figures for people: what came out, tables, charts, aims. */
import type { Aim, BenchContext, Chart, Outcome, Table } from "../bench.ts";
import { DURABLE_SENT } from "../direct-sides.ts";
import type { LoadFigures } from "../load/load.ts";
import { loadCeiling } from "../load/ceiling.ts";
import { describeMachine } from "../measure/machine.ts";
import { formatRange, rangeOf, type Range } from "../measure/ranges.ts";
import type { ClosedRound, E2eFigures } from "./e2e-result.ts";

const BUSY_SHARE = 0.7;

export function e2eOutcome(figures: E2eFigures, { beside }: BenchContext): Outcome {
  const { ranges } = figures;
  const other = beside === undefined ? "the floor" : "the version beside it (here called the floor)";
  return {
    finding:
      `Parley delivers ${formatRange(ranges.throughputRatio, 2)} of the messages a second of ${other}, at ` +
      `${formatRange(ranges.cpuRatio, 2)} times its server CPU a message: medians of ${figures.rounds.length} ` +
      "rounds, with the least and the greatest.",
    durable: DURABLE_SENT,
    notes: [
      loadCeiling(figures.rounds.map(({ floor }) => floor)),
      ...busyElsewhere(figures),
      `${figures.delivered} messages delivered, none lost.`,
    ],
    aims: beside === undefined ? aims(figures) : [],
    tables: [closedTable(figures), roundsTable(figures), openTable(figures), restartTable(figures)],
    charts: charts(figures),
    figures,
  };
}

function aims({ throughputRatio, cpuRatio, worstOverBest, fanoutRatio, openLoop5000: open }: E2eFigures): Aim[] {
  return [
    { what: "throughput over the floor's", atLeast: 0.7, measured: throughputRatio, unit: "times" },
    { what: "CPU a message over the floor's", atMost: 1.6, measured: cpuRatio, unit: "times" },
    { what: "most expensive round over the cheapest", atMost: 1.4, measured: worstOverBest, unit: "times" },
    { what: "fan-out: CPU over the bare server's", atMost: 1.1, measured: fanoutRatio, unit: "times" },
    { what: `${open.ratePerSecond} a second, p50`, atMost: 1, measured: open.p50Ms, unit: "ms" },
    { what: `${open.ratePerSecond} a second, p99`, atMost: 5, measured: open.p99Ms, unit: "ms" },
  ];
}

const COLUMNS = ["median (min–max)", "floor", "parley", "ratio"];

function closedTable({ ranges, medians, worstOverBest, flushes }: E2eFigures): Table {
  const ranged = (name: string, key: "deliveredPerSecond" | "serverCpuMicros", digits: number, ratio: Range) => [
    name,
    formatRange(ranges.floor[key], digits),
    formatRange(ranges.parley[key], digits),
    formatRange(ratio, 2),
  ];
  return {
    title: "Closed loop",
    columns: COLUMNS,
    rows: [
      ranged("delivered messages a second", "deliveredPerSecond", 0, ranges.throughputRatio),
      ranged("server CPU a message, µs", "serverCpuMicros", 1, ranges.cpuRatio),
      row("server busy, cores", "serverCores", 2, medians),
      row("load CPU a message, µs", "loadCpuMicros", 1, medians),
      row("load busy, cores", "loadCores", 2, medians),
      row("send to receipt p50, ms", "p50Ms", 2, medians),
      row("send to receipt p99, ms", "p99Ms", 2, medians),
      ["most expensive round over the cheapest, CPU", "", worstOverBest.toFixed(2), ""],
      [`CPU a message with flushes (${flushes.rounds} rounds), µs`, "", cost(flushes.serverCpuMicros), ""],
      ["CPU a message without flushes, µs", "", cost(flushes.otherServerCpuMicros), ""],
    ],
  };
}

const cost = (range: Range | undefined): string => (range === undefined ? "none" : formatRange(range, 1));

function row(name: string, key: keyof LoadFigures, digits: number, { floor, parley }: E2eFigures["medians"]) {
  return [name, floor[key].toFixed(digits), parley[key].toFixed(digits), ""];
}

const nameOf = ({ isFlushed }: { isFlushed: boolean }, at: number): string =>
  `round ${at + 1}${isFlushed ? ", flushed" : ""}`;

function roundsTable({ rounds }: E2eFigures): Table {
  const cell = ({ deliveredPerSecond, serverCpuMicros }: LoadFigures) =>
    `${deliveredPerSecond}/s ${serverCpuMicros.toFixed(1)} µs`;
  const ratios = ({ throughputRatio, cpuRatio }: ClosedRound) =>
    `${throughputRatio.toFixed(2)}, CPU ${cpuRatio.toFixed(2)}`;
  const rows = rounds.map((round, at) => [nameOf(round, at), cell(round.floor), cell(round.parley), ratios(round)]);
  return { title: "Rounds of the closed loop", columns: ["", "floor", "parley", "ratio"], rows };
}

/** Latency counts from the intended send time. */
function openTable({ open, fixed, openLoop5000 }: E2eFigures): Table {
  const shared = [
    row(`${open.ratePerSecond} a second: p50, ms`, "p50Ms", 2, open.medians),
    row("p99, ms", "p99Ms", 2, open.medians),
    row("server CPU a message, µs", "serverCpuMicros", 1, open.medians),
  ];
  const rate = openLoop5000.ratePerSecond;
  const rows = fixed.map((round, at) => {
    const cell = ({ p50Ms, p99Ms }: LoadFigures) => `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms`;
    return [`${rate} a second, ${nameOf(round, at)}`, cell(round.floor), cell(round.parley), ""];
  });
  return { title: "Open loop, latency from the intended send time", columns: COLUMNS, rows: [...shared, ...rows] };
}

function restartTable({ ranges, restarts }: E2eFigures): Table {
  const rows = restarts.map(({ before, after, ratio, secondsAway }, at) => [
    `restart ${at + 1}`,
    `${before.deliveredPerSecond}/s`,
    secondsAway.toFixed(1),
    `${after.deliveredPerSecond}/s`,
    ratio.toFixed(2),
  ]);
  const all = ["rate after a restart over the rate before it", "", "", "", formatRange(ranges.restartedRatio, 2)];
  const fanout = ["fan-out: CPU over the bare server's", "", "", "", formatRange(ranges.fanoutRatio, 2)];
  return {
    title: "Restarts and fan-out",
    columns: ["", "before", "away, s", "after", "ratio"],
    rows: [...rows, all, fanout],
  };
}

function charts({ rounds, restarts }: E2eFigures): Chart[] {
  const names = rounds.map(nameOf);
  const sides = (key: "deliveredPerSecond" | "serverCpuMicros") =>
    (["floor", "parley"] as const).map((name) => ({
      name,
      points: rounds.map((round, x) => ({ x, y: rangeOf([round[name][key]]) })),
    }));
  const ofRestarts = (when: "before" | "after") =>
    restarts.map((restart, x) => ({ x, y: rangeOf([restart[when].deliveredPerSecond]) }));
  return [
    {
      title: "Delivered messages a second, each round",
      how: "Both sides get the same load in turn. Higher is better. The floor promises nothing and stores nothing.",
      x: { label: "round", names },
      y: { label: "messages a second" },
      series: sides("deliveredPerSecond"),
    },
    {
      title: "Server CPU a message, each round",
      how: "All threads of the server, flushes included. Lower is better.",
      x: { label: "round", names },
      y: { label: "µs" },
      series: sides("serverCpuMicros"),
    },
    {
      title: "Delivered messages a second, before and after each restart of Parley",
      how: "The same load right before SIGTERM and right after the start. Both should be the same.",
      x: { label: "restart", names: restarts.map((_, at) => `restart ${at + 1}`) },
      y: { label: "messages a second" },
      series: [
        { name: "before", points: ofRestarts("before") },
        { name: "after", points: ofRestarts("after") },
      ],
    },
  ];
}

/** In the closed loop a server and its load keep two cores busy. If they had less, other programs used the rest. */
function busyElsewhere({ medians: { floor, parley } }: E2eFigures): string[] {
  const had = Math.max(floor.serverCores + floor.loadCores, parley.serverCores + parley.loadCores);
  const wanted = Math.min(2, describeMachine().cores);
  if (had > wanted * BUSY_SHARE) return [];
  return [
    `Server and load had ${had.toFixed(2)} of ${wanted} cores: the machine was busy with something else, and the ` +
      "figures mean little.",
  ];
}
