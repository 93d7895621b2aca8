/**
 * Parley and the floor side by side in one run: the same load on each in turn, round after round, so that what the machine does besides
 * falls on both. The ratios are medians of the ratios of neighbouring rounds. A message that gets lost fails the run.
 */
import { ProgressBar, type ProgressOutput } from "../src/cli/progress-bar.ts";
import {
  closedRound,
  median,
  medianSides,
  round3,
  type ClosedRound,
  type E2eParameters,
  type E2eResult,
  type SidePair,
} from "./e2e-result.ts";
import { startLoad, type LoadProcess } from "./load-process.ts";
import type { LoadFigures, LoadPair } from "./load.ts";
import { describeCommit, describeMachine } from "./machine.ts";
import { startFloorProcess, startParleyProcess, type ParleyProcess } from "./server-process.ts";
import { loadTexts, type Texts } from "./texts.ts";

export type E2eOptions = Omit<E2eParameters, "texts" | "textMeanBytes" | "sockets"> & { corpus: string | undefined };

export const FULL: Omit<E2eOptions, "corpus"> = {
  pairs: 250,
  windowPerUser: 2,
  rounds: 5,
  openRounds: 3,
  warmUpMs: 1000,
  measureMs: 3000,
  openShare: 0.5,
  // The limiter runs as ever; it must not be what is measured when few users send much.
  serveArguments: ["--send-rate", "100000", "--send-burst", "100000"],
};
export const SMALL: Omit<E2eOptions, "corpus"> = {
  ...FULL,
  pairs: 8,
  rounds: 2,
  openRounds: 1,
  warmUpMs: 50,
  measureMs: 150,
};

const LINES_MAX = 20_000;
const PROVISIONING_MAX = 16;

/** Ends what it started also when `interrupted` rejects. */
export async function runE2e(
  options: E2eOptions,
  output: ProgressOutput,
  interrupted: Promise<never>,
): Promise<E2eResult> {
  const ends: (() => Promise<void>)[] = [];
  let isEnding = false;
  const kept: Keep = async (starting) => {
    const started = await starting;
    if (isEnding) {
      await started.end();
      throw new Error("ended while it was starting");
    }
    ends.unshift(() => started.end());
    return started;
  };
  const measuring = measure(options, kept, new ProgressBar("starting", 1, output));
  try {
    return await Promise.race([measuring, interrupted]);
  } finally {
    isEnding = true;
    for (const end of ends) await end();
    // Interrupted, it fails by what was ended under it, or ends what it was starting.
    await measuring.catch(() => {});
  }
}

/** Notes what has to be ended. */
type Keep = <T extends { end(): Promise<void> }>(starting: Promise<T>) => Promise<T>;

async function measure(options: E2eOptions, kept: Keep, progress: ProgressBar): Promise<E2eResult> {
  const began = performance.now();
  const texts = loadTexts(options.corpus, LINES_MAX);
  const floor = await kept(startFloorProcess());
  const parley = await kept(startParleyProcess(options.serveArguments));
  const pairs = await provisionPairs(parley, options.pairs, progress);
  const loads = {
    floor: await kept(startLoad("floor", floor, floorPairs(options.pairs), texts.lines)),
    parley: await kept(startLoad("parley", parley, pairs, texts.lines)),
  };
  const closed = await closedRounds(loads, options, progress);
  const open = await openRounds(loads, options, closed, progress);
  progress.finish();
  return summary(options, texts, closed, open, (performance.now() - began) / 1000);
}

async function closedRounds(
  loads: SidePair<LoadProcess>,
  options: E2eOptions,
  progress: ProgressBar,
): Promise<ClosedRound[]> {
  progress.phase("closed loop", options.rounds * 2);
  const rounds: ClosedRound[] = [];
  for (let at = 0; at < options.rounds; at++) {
    const floor = await loads.floor.closed(options);
    progress.set(at * 2 + 1);
    const parley = await loads.parley.closed(options);
    const round = closedRound(floor, parley);
    rounds.push(round);
    progress.set(
      at * 2 + 2,
      `throughput ${round.throughputRatio.toFixed(2)}, CPU ${round.cpuRatio.toFixed(2)} of the floor`,
    );
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

function summary(options: E2eOptions, texts: Texts, closed: ClosedRound[], open: OpenPart, seconds: number): E2eResult {
  const { corpus: _, ...parameters } = options;
  return {
    suite: "e2e",
    at: new Date().toISOString(),
    commit: describeCommit(),
    machine: describeMachine(),
    parameters: { ...parameters, sockets: options.pairs * 2, texts: texts.source, textMeanBytes: texts.meanBytes },
    throughputRatio: round3(median(closed.map((round) => round.throughputRatio))),
    cpuRatio: round3(median(closed.map((round) => round.cpuRatio))),
    medians: medianSides(closed),
    open: { ratePerSecond: open.ratePerSecond, medians: medianSides(open.rounds), rounds: open.rounds },
    rounds: closed,
    delivered: [...closed, ...open.rounds].reduce(
      (sum, round) => sum + round.floor.delivered + round.parley.delivered,
      0,
    ),
    lost: 0,
    seconds: round3(seconds),
  };
}

/** The floor believes whoever says a name. */
function floorPairs(count: number): LoadPair[] {
  return Array.from({ length: count }, (_, at) => ({
    first: { user: `a${at}`, token: `a${at}` },
    second: { user: `b${at}`, token: `b${at}` },
  }));
}

/** Users by an API key, so that no password is hashed. */
async function provisionPairs(parley: ParleyProcess, count: number, progress: ProgressBar): Promise<LoadPair[]> {
  progress.phase("users", count * 2);
  const names = floorPairs(count).flatMap((pair) => [pair.first.user, pair.second.user]);
  const tokens = new Map<string, string>();
  const waiting = names.values();
  const worker = async () => {
    for (const user of waiting) {
      tokens.set(user, await provisionUser(parley, user));
      progress.advance();
    }
  };
  await Promise.all(Array.from({ length: PROVISIONING_MAX }, worker));
  const login = (user: string) => ({ user, token: tokens.get(user) ?? "" });
  return floorPairs(count).map((pair) => ({ first: login(pair.first.user), second: login(pair.second.user) }));
}

async function provisionUser(parley: ParleyProcess, user: string): Promise<string> {
  await post(parley, "/v1/users", { user });
  const { token } = (await post(parley, `/v1/users/${user}/token`, {})) as { token: string };
  return token;
}

async function post(parley: ParleyProcess, path: string, body: object): Promise<unknown> {
  const response = await fetch(new URL(path, parley.url), {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": parley.apiKey },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(20_000),
  });
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  return response.json();
}
