/**
 * Parley and the floor side by side in one run. Each gets the same load in turn, round after round, so that
 * disturbances by the machine hit both. Ratios are those of neighbouring rounds, as median and range. Then Parley alone
 * is restarted, and a large group gets messages. A lost message fails the run.
 */
import type { ProgressBar } from "../../src/cli/progress-bar.ts";
import type { Bench, BenchContext } from "../bench.ts";
import { cpuRatioOf, measureFanout, RATIO_IN_FLIGHT } from "../benches/fanout.ts";
import { UNLIMITED_SENDS } from "../servers/unlimited.ts";
import { startLoad, type LoadProcess } from "../load/load-process.ts";
import type { LoadFigures, LoadPair } from "../load/load.ts";
import { newestWriteMs } from "../measure/flush-mark.ts";
import type { Range } from "../measure/ranges.ts";
import { loadTexts, type Texts } from "../measure/texts.ts";
import { floorPairs, provisionPairs } from "../servers/provision.ts";
import {
  startFloorProcess,
  startParleyProcess,
  type ParleyProcess,
  type ServerProcess,
} from "../servers/server-process.ts";
import { e2eOutcome } from "./e2e-outcome.ts";
import {
  closedRound,
  derived,
  medianSides,
  openLoopOf,
  type ClosedRound,
  type E2eFigures,
  type E2eParameters,
  type FlushedOpen,
  type Restart,
  type SidePair,
} from "./e2e-result.ts";
import { measureRestarts } from "./restart.ts";

const SMALL: E2eParameters = {
  pairs: 250,
  windowPerUser: 2,
  rounds: 10,
  openRounds: 3,
  fixedRate: 5000,
  fixedRounds: 3,
  fixedRoundsMax: 6,
  restarts: 3,
  fanoutMembers: 1000,
  fanoutRounds: 4,
  warmUpMs: 500,
  measureMs: 2000,
  openShare: 0.5,
};

export const E2E: Bench<E2eParameters> = {
  name: "e2e",
  summary: "Parley beside the floor, a bare server that stores nothing: the ratios by which versions are compared",
  sizes: {
    tiny: {
      ...SMALL,
      ...{ pairs: 8, rounds: 2, openRounds: 1, fixedRate: 200, fixedRounds: 1, fixedRoundsMax: 1, restarts: 1 },
      ...{ fanoutMembers: 12, fanoutRounds: 1, warmUpMs: 50, measureMs: 150 },
    },
    small: SMALL,
    full: { ...SMALL, rounds: 20, openRounds: 5, fixedRounds: 10, fixedRoundsMax: 20, restarts: 5, measureMs: 3000 },
  },
  async run(parameters, context) {
    return e2eOutcome(await measure(parameters, context), context);
  },
};

async function measure(options: E2eParameters, context: BenchContext): Promise<E2eFigures> {
  const { progress, endLater } = context;
  const texts = loadTexts(context.corpus);
  const serveArguments = [...UNLIMITED_SENDS, ...context.serveArguments];
  const floor = await startOther(options, serveArguments, context);
  const parley = await endLater(startParleyProcess(serveArguments));
  const pairs = await provisionPairs(parley, options.pairs, progress);
  const loads = {
    floor: await endLater(startLoad("floor", floor.server, floor.pairs, texts.lines)),
    parley: await endLater(startLoad("parley", parley, pairs, texts.lines)),
  };
  const closed = await closedRounds(loads, parley, options, progress);
  const open = await openRounds(loads, options, closed, progress);
  const fixed = await fixedRounds(loads, parley, options, progress);
  const restarts = await measureRestarts(parley, loads.parley, options, progress);
  for (const load of Object.values(loads)) await load.end();
  const fanoutRatio = await largestGroup(options, context);
  return figuresOf(options, texts, { closed, open, fixed, restarts, fanoutRatio });
}

/** Starts what Parley is compared with: the floor, or the server of another checkout. */
async function startOther(
  { pairs }: E2eParameters,
  serveArguments: string[],
  { beside, endLater, progress }: BenchContext,
): Promise<{ server: ServerProcess; pairs: LoadPair[] }> {
  if (beside === undefined) return { server: await endLater(startFloorProcess()), pairs: floorPairs(pairs) };
  const server = await endLater(startParleyProcess(serveArguments, beside));
  return { server, pairs: await provisionPairs(server, pairs, progress) };
}

async function largestGroup(options: E2eParameters, context: BenchContext): Promise<Range> {
  const { fanoutMembers, fanoutRounds: rounds, warmUpMs, measureMs } = options;
  const parameters = { members: [fanoutMembers], inFlight: [RATIO_IN_FLIGHT], rounds, warmUpMs, measureMs };
  const [level] = await measureFanout(parameters, context);
  return cpuRatioOf(level!);
}

/** The sides alternate in going first. */
async function closedRounds(
  loads: SidePair<LoadProcess>,
  { dataDirectory }: ParleyProcess,
  options: E2eParameters,
  progress: ProgressBar,
): Promise<ClosedRound[]> {
  progress.phase("closed loop", options.rounds);
  const rounds: ClosedRound[] = [];
  const floor = () => loads.floor.closed(options);
  const parley = async () => {
    const before = newestWriteMs(dataDirectory);
    const figures = await loads.parley.closed(options);
    return { figures, isFlushed: newestWriteMs(dataDirectory) > before };
  };
  for (let at = 0; at < options.rounds; at++) {
    const early = at % 2 === 0 ? await floor() : undefined;
    const { figures, isFlushed } = await parley();
    const round = closedRound(early ?? (await floor()), figures, isFlushed);
    rounds.push(round);
    const ratios = `throughput ${round.throughputRatio.toFixed(2)}, CPU ${round.cpuRatio.toFixed(2)} of the floor`;
    progress.set(at + 1, ratios);
  }
  return rounds;
}

type OpenPart = { ratePerSecond: number; rounds: SidePair<LoadFigures>[] };

async function openRounds(
  loads: SidePair<LoadProcess>,
  options: E2eParameters,
  closed: ClosedRound[],
  progress: ProgressBar,
): Promise<OpenPart> {
  const medians = medianSides(closed);
  const slower = Math.min(medians.floor.deliveredPerSecond, medians.parley.deliveredPerSecond);
  const ratePerSecond = Math.max(1, Math.round(slower * options.openShare));
  progress.phase(`open loop, ${ratePerSecond}/s`, options.openRounds * 2);
  const rounds: SidePair<LoadFigures>[] = [];
  for (let at = 0; at < options.openRounds; at++) {
    const floor = await loads.floor.open({ ...options, ratePerSecond });
    progress.advance();
    const parley = await loads.parley.open({ ...options, ratePerSecond });
    progress.advance();
    rounds.push({ floor, parley });
  }
  return { ratePerSecond, rounds };
}

/** At a rate that does not depend on the machine, until Parley has flushed in one of the rounds. */
async function fixedRounds(
  loads: SidePair<LoadProcess>,
  { dataDirectory }: ParleyProcess,
  { fixedRate: ratePerSecond, fixedRounds: roundsMin, fixedRoundsMax, warmUpMs, measureMs }: E2eParameters,
  progress: ProgressBar,
): Promise<FlushedOpen[]> {
  progress.phase(`open loop, ${ratePerSecond}/s`, fixedRoundsMax);
  const rounds: FlushedOpen[] = [];
  const isEnough = () => rounds.length >= roundsMin && rounds.some(({ isFlushed }) => isFlushed);
  while (rounds.length < fixedRoundsMax && !isEnough()) {
    const floor = await loads.floor.open({ ratePerSecond, warmUpMs, measureMs });
    const before = newestWriteMs(dataDirectory);
    const parley = await loads.parley.open({ ratePerSecond, warmUpMs, measureMs });
    rounds.push({ floor, parley, isFlushed: newestWriteMs(dataDirectory) > before });
    progress.advance();
  }
  return rounds;
}

type Parts = {
  closed: ClosedRound[];
  open: OpenPart;
  fixed: FlushedOpen[];
  restarts: Restart[];
  fanoutRatio: Range;
};

function figuresOf(options: E2eParameters, texts: Texts, parts: Parts): E2eFigures {
  const { closed, open, fixed, restarts, fanoutRatio } = parts;
  const all = [
    ...[...closed, ...open.rounds, ...fixed].flatMap(({ floor, parley }) => [floor, parley]),
    ...restarts.flatMap(({ before, after }) => [before, after]),
  ];
  const { ranges, ...ratios } = derived(closed, restarts);
  return {
    parameters: { ...options, sockets: options.pairs * 2, texts: texts.source, textMeanBytes: texts.meanBytes },
    ...ratios,
    ranges: { ...ranges, fanoutRatio },
    fanoutRatio: fanoutRatio.median,
    openLoop5000: openLoopOf(options.fixedRate, fixed),
    open: { ratePerSecond: open.ratePerSecond, medians: medianSides(open.rounds), rounds: open.rounds },
    rounds: closed,
    fixed,
    restarts,
    delivered: all.reduce((sum, { delivered }) => sum + delivered, 0),
    lost: 0,
  };
}
