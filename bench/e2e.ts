/**
 * Parley and the floor side by side in one run. Each gets the same load in turn, round after round, so that
 * disturbances by the machine hit both. Ratios are those of neighbouring rounds, as median and range. Then Parley alone
 * is restarted. A lost message fails the run.
 */
import { ProgressBar, type ProgressOutput } from "../src/cli/progress-bar.ts";
import {
  closedRound,
  derived,
  medianSides,
  type ClosedRound,
  type E2eParameters,
  type E2eResult,
  type Restart,
  type SidePair,
} from "./e2e-result.ts";
import { newestWriteMs } from "./flush-mark.ts";
import { startLoad, type LoadProcess } from "./load-process.ts";
import type { LoadFigures, LoadPair } from "./load.ts";
import { describeCommit, describeMachine } from "./machine.ts";
import { startFloorProcess, startParleyProcess, type ParleyProcess, type ServerProcess } from "./server-process.ts";
import { floorPairs, provisionPairs } from "./provision.ts";
import { round3 } from "./ranges.ts";
import { measureRestarts } from "./restart.ts";
import { loadTexts, type Texts } from "./texts.ts";

export type E2eOptions = Omit<E2eParameters, "texts" | "textMeanBytes" | "sockets"> & {
  corpus: string | undefined;
  /** A checkout with its packages. Its server takes the floor's place, to compare two versions. */
  beside?: string;
};

export const FULL: Omit<E2eOptions, "corpus"> = {
  pairs: 250,
  windowPerUser: 2,
  rounds: 10,
  openRounds: 3,
  restarts: 3,
  warmUpMs: 1000,
  measureMs: 3000,
  openShare: 0.5,
  // The rate limiter runs, but must not be what is measured when few users send much.
  serveArguments: ["--send-rate", "100000", "--send-burst", "100000"],
};
export const SMALL: Omit<E2eOptions, "corpus"> = {
  ...FULL,
  pairs: 8,
  rounds: 2,
  openRounds: 1,
  restarts: 1,
  warmUpMs: 50,
  measureMs: 150,
};

const LINES_MAX = 20_000;

/** Ends everything it started, also when `interrupted` rejects. */
export async function runE2e(
  options: E2eOptions,
  output: ProgressOutput,
  interrupted: Promise<never>,
): Promise<E2eResult> {
  const ends: (() => Promise<void>)[] = [];
  let isEnding = false;
  const endLater: EndLater = async (starting) => {
    const started = await starting;
    if (isEnding) {
      await started.end();
      throw new Error("ended while it was starting");
    }
    ends.unshift(() => started.end());
    return started;
  };
  const measuring = measure(options, endLater, new ProgressBar("starting", 1, output));
  try {
    return await Promise.race([measuring, interrupted]);
  } finally {
    isEnding = true;
    for (const end of ends) await end();
    // After an interruption `measuring` fails because its processes were ended, or ends the one that it was starting.
    await measuring.catch(() => {});
  }
}

/** Registers a process that must be ended. */
type EndLater = <T extends { end(): Promise<void> }>(starting: Promise<T>) => Promise<T>;

async function measure(options: E2eOptions, endLater: EndLater, progress: ProgressBar): Promise<E2eResult> {
  const began = performance.now();
  const texts = loadTexts(options.corpus, LINES_MAX);
  const floor = await startOther(options, endLater, progress);
  const parley = await endLater(startParleyProcess(options.serveArguments));
  const pairs = await provisionPairs(parley, options.pairs, progress);
  const loads = {
    floor: await endLater(startLoad("floor", floor.server, floor.pairs, texts.lines)),
    parley: await endLater(startLoad("parley", parley, pairs, texts.lines)),
  };
  const closed = await closedRounds(loads, parley, options, progress);
  const open = await openRounds(loads, options, closed, progress);
  const restarts = await measureRestarts(parley, loads.parley, options, progress);
  progress.finish();
  return summary(options, texts, { closed, open, restarts }, (performance.now() - began) / 1000);
}

/** Starts what Parley is compared with: the floor, or the server of another checkout. */
async function startOther(
  { beside, pairs, serveArguments }: E2eOptions,
  endLater: EndLater,
  progress: ProgressBar,
): Promise<{ server: ServerProcess; pairs: LoadPair[] }> {
  if (beside === undefined) return { server: await endLater(startFloorProcess()), pairs: floorPairs(pairs) };
  const server = await endLater(startParleyProcess(serveArguments, beside));
  return { server, pairs: await provisionPairs(server, pairs, progress) };
}

/** The sides alternate in going first. */
async function closedRounds(
  loads: SidePair<LoadProcess>,
  { dataDirectory }: ParleyProcess,
  options: E2eOptions,
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
  options: E2eOptions,
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

type Parts = { closed: ClosedRound[]; open: OpenPart; restarts: Restart[] };

function summary(options: E2eOptions, texts: Texts, { closed, open, restarts }: Parts, seconds: number): E2eResult {
  const { corpus: _, beside, ...parameters } = options;
  const all = [
    ...[...closed, ...open.rounds].flatMap(({ floor, parley }) => [floor, parley]),
    ...restarts.flatMap(({ before, after }) => [before, after]),
  ];
  return {
    suite: "e2e",
    at: new Date().toISOString(),
    commit: describeCommit(),
    machine: describeMachine(),
    ...(beside !== undefined && { besideCommit: describeCommit(beside) }),
    parameters: { ...parameters, sockets: options.pairs * 2, texts: texts.source, textMeanBytes: texts.meanBytes },
    ...derived(closed, restarts),
    open: { ratePerSecond: open.ratePerSecond, medians: medianSides(open.rounds), rounds: open.rounds },
    rounds: closed,
    restarts,
    delivered: all.reduce((sum, { delivered }) => sum + delivered, 0),
    lost: 0,
    seconds: round3(seconds),
  };
}
