/** Restarts under load: how long nobody is served, and the rate after it; ended in order, and killed. */
import type { Bench, BenchContext, Outcome } from "../bench.ts";
import { barChart, curveTable, rangeIn, type Level } from "../curve.ts";
import type { Restart } from "../e2e/e2e-result.ts";
import { measureRestarts } from "../e2e/restart.ts";
import { startLoad } from "../load/load-process.ts";
import { formatFigures } from "../measure/ranges.ts";
import { loadTexts } from "../measure/texts.ts";
import { provisionPairs } from "../servers/provision.ts";
import { startParleyProcess } from "../servers/server-process.ts";
import { UNLIMITED_SENDS } from "../servers/unlimited.ts";

type Parameters = {
  pairs: number;
  windowPerUser: number;
  /** Load before the first restart, so that there is something to read. */
  fillMs: number;
  restarts: number;
  warmUpMs: number;
  measureMs: number;
};
type Figures = { secondsAway: number; ratio: number };

const SMALL: Parameters = { pairs: 250, windowPerUser: 2, fillMs: 3000, restarts: 3, warmUpMs: 500, measureMs: 1000 };

export const RESTART: Bench<Parameters> = {
  name: "restart",
  summary: "restarts, in order and with kill -9: seconds away, and the rate after over the rate before",
  sizes: {
    tiny: { ...SMALL, pairs: 4, fillMs: 50, restarts: 1, warmUpMs: 20, measureMs: 80 },
    small: SMALL,
    full: { ...SMALL, fillMs: 60_000, restarts: 7, measureMs: 3000 },
  },
  async run(parameters, context) {
    return outcomeOf(await measure(parameters, context));
  },
};

async function measure(parameters: Parameters, context: BenchContext): Promise<Level<"parley", Figures>[]> {
  const { endLater, progress, corpus, serveArguments } = context;
  const parley = await endLater(startParleyProcess([...UNLIMITED_SENDS, ...serveArguments]));
  const pairs = await provisionPairs(parley, parameters.pairs, progress);
  const load = await endLater(startLoad("parley", parley, pairs, loadTexts(corpus).lines));
  progress.phase("filling", 1);
  await load.closed({ ...parameters, measureMs: parameters.fillMs });
  const level = (x: number, name: string, restarts: Restart[]) => ({ x, name, rounds: { parley: restarts } });
  return [
    level(0, "ended in order (SIGTERM)", await measureRestarts(parley, load, parameters, progress)),
    level(1, "killed (SIGKILL)", await measureRestarts(parley, load, parameters, progress, "SIGKILL")),
  ];
}

function outcomeOf(levels: Level<"parley", Figures>[]): Outcome {
  const [ended, killed] = levels as [Level<"parley", Figures>, Level<"parley", Figures>];
  const of = (level: Level<"parley", Figures>, key: keyof Figures) => formatFigures(rangeIn(level.rounds.parley, key));
  return {
    finding:
      `A restart takes ${of(ended, "secondsAway")} s in order and ${of(killed, "secondsAway")} s after kill -9; the rate ` +
      `right after it is ${of(ended, "ratio")} and ${of(killed, "ratio")} of the rate before.`,
    durable: "Everything that was acked is there after both, and the load goes on with the next refs.",
    notes: ["The time away is that of the process's end and start. Users have left before, and come back after it."],
    aims: [],
    tables: [
      curveTable("Restarts", levels, [
        { title: "seconds away", key: "secondsAway" },
        { title: "rate after over before", key: "ratio" },
      ]),
    ],
    charts: [
      barChart(levels, "secondsAway", {
        title: "Seconds that nobody is served",
        how: "Lower is better. In order, the server flushes its memory before it ends. Killed, it reads its log.",
        y: { label: "s" },
      }),
      barChart(levels, "ratio", {
        title: "Rate right after a restart over the rate right before it",
        how: "1 is the same rate. Both rounds warm up first.",
        y: { label: "times" },
      }),
    ],
    figures: {
      restarts: levels.map(({ name, rounds }) => ({ name, rounds: rounds.parley })),
      restartedRatio: rangeIn(ended.rounds.parley, "ratio").median,
    },
  };
}
