/** The e2e suite's result as a table for people. */
import type { E2eResult } from "./e2e-result.ts";
import type { LoadFigures } from "./load.ts";
import { formatRange, type Range } from "./ranges.ts";

const NAME_WIDTH = 30;
const SIDE_WIDTH = 25;
const BUSY_SHARE = 0.7;

const row = (name: string, floor: string, parley: string, ratio = ""): string =>
  `  ${name.padEnd(NAME_WIDTH)}${floor.padStart(SIDE_WIDTH)}${parley.padStart(SIDE_WIDTH)}${ratio.padStart(20)}`.trimEnd();

export function formatTable(result: E2eResult): string {
  const parts = [head, closed, rounds, open, restarts, busyElsewhere, end];
  return parts.flatMap((part) => part(result)).join("\n");
}

function head({ commit, besideCommit, machine: m, parameters: p }: E2eResult): string[] {
  const served = p.serveArguments.length > 0 ? `; served with ${p.serveArguments.join(" ")}` : "";
  return [
    `e2e at ${commit}: ${m.cores} × ${m.cpu}, kernel ${m.kernel}, bun ${m.bun}`,
    `${p.sockets} sockets, ${p.windowPerUser} undelivered each, ${p.texts} texts of ${p.textMeanBytes} bytes, ` +
      `${p.rounds} rounds of ${p.measureMs / 1000} s each side${served}`,
    row("median (min–max)", besideCommit ?? "floor", besideCommit === undefined ? "parley" : commit, "ratio"),
  ];
}

function closed({ ranges, medians, worstOverBest, flushes }: E2eResult): string[] {
  const ranged = (name: string, key: "deliveredPerSecond" | "serverCpuMicros", digits: number, ratio: Range) =>
    row(name, formatRange(ranges.floor[key], digits), formatRange(ranges.parley[key], digits), formatRange(ratio, 2));
  return [
    ranged("delivered messages a second", "deliveredPerSecond", 0, ranges.throughputRatio),
    ranged("server CPU a message, µs", "serverCpuMicros", 1, ranges.cpuRatio),
    figure("server busy, cores", "serverCores", 2, medians),
    figure("load CPU a message, µs", "loadCpuMicros", 1, medians),
    figure("load busy, cores", "loadCores", 2, medians),
    figure("send to receipt p50, ms", "p50Ms", 2, medians),
    figure("send to receipt p99, ms", "p99Ms", 2, medians),
    `  Parley's most expensive round cost ${worstOverBest.toFixed(2)} times its cheapest in CPU; ${flushText(flushes)}`,
  ];
}

function flushText({ rounds: count, serverCpuMicros, otherServerCpuMicros }: E2eResult["flushes"]): string {
  const cost = (range: Range | undefined) => (range === undefined ? "none" : `${formatRange(range, 1)} µs`);
  return `with flushes (${count} rounds) ${cost(serverCpuMicros)}, without ${cost(otherServerCpuMicros)}`;
}

function rounds({ rounds: all }: E2eResult): string[] {
  return all.map((round, at) =>
    row(
      `round ${at + 1}${round.isFlushed ? ", flushed" : ""}`,
      `${round.floor.deliveredPerSecond}/s ${round.floor.serverCpuMicros.toFixed(1)} µs`,
      `${round.parley.deliveredPerSecond}/s ${round.parley.serverCpuMicros.toFixed(1)} µs`,
      `${round.throughputRatio.toFixed(2)}, CPU ${round.cpuRatio.toFixed(2)}`,
    ),
  );
}

function open({ open: { ratePerSecond, medians } }: E2eResult): string[] {
  return [
    `  open loop at ${ratePerSecond} messages a second, latency from the intended send time`,
    figure("p50, ms", "p50Ms", 2, medians),
    figure("p99, ms", "p99Ms", 2, medians),
    figure("p99.9, ms", "p999Ms", 2, medians),
    figure("server CPU a message, µs", "serverCpuMicros", 1, medians),
  ];
}

function restarts({ ranges, restarts: all }: E2eResult): string[] {
  const one = all.map(
    ({ before, after, secondsAway }) =>
      `  restart: ${before.deliveredPerSecond}/s before, away for ${secondsAway.toFixed(1)} s, ` +
      `${after.deliveredPerSecond}/s after`,
  );
  return [...one, `  rate after a restart over the rate before it: ${formatRange(ranges.restartedRatio, 2)}`];
}

/** In the closed loop a server and its load keep two cores busy. If they had less, other programs used the rest. */
function busyElsewhere({ machine, medians: { floor, parley } }: E2eResult): string[] {
  const had = Math.max(floor.serverCores + floor.loadCores, parley.serverCores + parley.loadCores);
  const wanted = Math.min(2, machine.cores);
  if (had > wanted * BUSY_SHARE) return [];
  return [
    `  server and load had ${had.toFixed(2)} of ${wanted} cores: the machine was busy with something else, and the ` +
      "figures mean little",
  ];
}

const end = ({ delivered, seconds }: E2eResult): string[] => [
  `  ${delivered} messages delivered, none lost, in ${seconds.toFixed(0)} s`,
];

function figure(name: string, key: keyof LoadFigures, digits: number, { floor, parley }: E2eResult["medians"]): string {
  return row(name, floor[key].toFixed(digits), parley[key].toFixed(digits));
}
