/** Direct messages at stated rates, whatever the servers do: latency from the intended send time, CPU a message. */
import type { Aim, Bench, BenchContext, Chart, Outcome } from "../bench.ts";
import { curveChart, curveTable, rangeIn, ratioIn, type Level } from "../curve.ts";
import { DURABLE_SENT, startDirectSides, type SideName } from "../direct-sides.ts";
import { UNLIMITED_SENDS } from "../servers/unlimited.ts";
import { loadCeiling } from "../load/ceiling.ts";
import type { LoadFigures } from "../load/load.ts";
import { newestWriteMs } from "../measure/flush-mark.ts";
import { formatFigures } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { loadTexts } from "../measure/texts.ts";

type Parameters = {
  pairs: number;
  ratesPerSecond: number[];
  rounds: number;
  /** Less than the server's default, so that it flushes within a round. */
  memtableMb: number;
  warmUpMs: number;
  measureMs: number;
};
type Figures = LoadFigures & { isFlushed: boolean };
type OpenLevel = Level<SideName, Figures>;

const SMALL: Parameters = {
  pairs: 250,
  ratesPerSecond: [500, 2000, 5000],
  rounds: 3,
  memtableMb: 16,
  warmUpMs: 400,
  measureMs: 2000,
};

export const OPEN: Bench<Parameters> = {
  name: "open",
  summary:
    "direct messages at 500, 2,000 and 5,000 a second: latency and CPU a message, beside the floor and a bare log",
  sizes: {
    tiny: { pairs: 4, ratesPerSecond: [200, 400], rounds: 1, memtableMb: 16, warmUpMs: 20, measureMs: 80 },
    small: SMALL,
    full: {
      ...SMALL,
      ...{
        ratesPerSecond: [200, 500, 1000, 2000, 5000, 10_000, 15_000],
        rounds: 6,
        memtableMb: 128,
        measureMs: 10_000,
      },
    },
  },
  async run(parameters, context) {
    return outcomeOf(await measure(parameters, context), context);
  },
};

async function measure(parameters: Parameters, context: BenchContext): Promise<OpenLevel[]> {
  const { pairs, ratesPerSecond, rounds, memtableMb, warmUpMs, measureMs } = parameters;
  const served = [...UNLIMITED_SENDS, "--memtable-mb", `${memtableMb}`];
  const { names, loadOf, parley } = await startDirectSides(context, pairs, loadTexts(context.corpus).lines, served);
  const { progress } = context;
  progress.phase("open loop", ratesPerSecond.length * rounds * names.length);
  const levels: OpenLevel[] = [];
  for (const ratePerSecond of ratesPerSecond) {
    const measured = await inTurns(names, rounds, async (name): Promise<Figures> => {
      const before = newestWriteMs(parley.dataDirectory);
      const figures = await loadOf(name).open({ ratePerSecond, warmUpMs, measureMs });
      progress.advance();
      return { ...figures, isFlushed: name === "parley" && newestWriteMs(parley.dataDirectory) > before };
    });
    levels.push({ x: ratePerSecond, name: `${ratePerSecond} a second`, rounds: measured });
  }
  return levels;
}

function outcomeOf(levels: OpenLevel[], { beside }: BenchContext): Outcome {
  const other: SideName = beside === undefined ? "bare log" : "beside";
  const ratio = (level: OpenLevel) => ratioIn(level, "serverCpuMicros", "parley", other);
  const told = levels.map(
    (level) =>
      `${formatFigures(ratio(level))} times the CPU of the ${other} at ${level.name} ` +
      `(p50 ${formatFigures(rangeIn(level.rounds.parley, "p50Ms"))} ms)`,
  );
  const flushed = levels.map(({ name, rounds }) => `${rounds.parley.filter((one) => one.isFlushed).length} at ${name}`);
  return {
    finding: `A message costs Parley ${told.join(", ")}.`,
    durable: DURABLE_SENT,
    notes: [
      `Rounds in which Parley flushed memory to files: ${flushed.join(", ")}.`,
      "A thread paces the sends: latency counts from the moment a send was due, to the receipt.",
      loadCeiling(levels.flatMap(({ rounds }) => Object.values(rounds).flat())),
    ],
    aims: beside === undefined ? levels.flatMap(aims) : [],
    tables: [
      curveTable("Open loop", levels, [
        { title: "CPU µs", key: "serverCpuMicros" },
        { title: "p50 ms", key: "p50Ms" },
        { title: "p99 ms", key: "p99Ms" },
      ]),
    ],
    charts: charts(levels),
    figures: {
      levels: levels.map((level) => ({ ratePerSecond: level.x, cpuRatio: ratio(level), rounds: level.rounds })),
    },
  };
}

function aims(level: OpenLevel): Aim[] {
  const of = (key: "p50Ms" | "p99Ms") => rangeIn(level.rounds.parley, key).median;
  if (level.x === 2000)
    return [
      {
        what: "2,000 a second: CPU over the floor with a bare log",
        atMost: 1.2,
        measured: ratioIn(level, "serverCpuMicros", "parley", "bare log").median,
        unit: "times",
      },
      { what: "2,000 a second: p50", atMost: 0.5, measured: of("p50Ms"), unit: "ms" },
    ];
  if (level.x === 5000)
    return [
      { what: "5,000 a second with flushes: p50", atMost: 1, measured: of("p50Ms"), unit: "ms" },
      { what: "5,000 a second with flushes: p99", atMost: 5, measured: of("p99Ms"), unit: "ms" },
    ];
  return [];
}

function charts(levels: OpenLevel[]): Chart[] {
  const x = { label: "messages a second, stated", isLog: true };
  return [
    curveChart(levels, "serverCpuMicros", {
      title: "Server CPU a message at a stated rate",
      how: "Lower is better. At low rates nearly every message is a wake-up and a write of its own.",
      x,
      y: { label: "µs" },
    }),
    curveChart(levels, "p50Ms", {
      title: "From the intended send time to the receipt, p50",
      how: "Lower is better. It includes what the server makes later sends wait for.",
      x,
      y: { label: "ms" },
    }),
    curveChart(levels, "p99Ms", {
      title: "From the intended send time to the receipt, p99",
      how: "Lower is better. Flushes and pauses of the machine show here.",
      x,
      y: { label: "ms", isLog: true },
    }),
  ];
}
