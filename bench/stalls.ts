/**
 * The stalls suite: how long one client's request blocks the event loop of a server that has just started. Each case
 * runs several times, on data that nothing has touched since the start. The best round counts, since a gap that the
 * work causes is in all rounds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ProgressBar, type ProgressOutput } from "../src/cli/progress-bar.ts";
import { describeCommit, describeMachine } from "./machine.ts";
import { type Case, CASES, SIZES, type Sizes, type Visit } from "./stalls/cases.ts";
import { Filling, type DataIn } from "./stalls/data.ts";
import type { Gap } from "./stalls/loop-probe.ts";
import { ProbedServer } from "./stalls/probed-server.ts";

export type StallsOptions = { rounds: number; sizes: Sizes; places: readonly DataIn[]; cases: readonly Case[] };

export const STALLS_FULL: StallsOptions = { rounds: 3, sizes: SIZES, places: ["log", "recent", "own"], cases: CASES };

export type Round = { server: Gap; idle: Gap };
export type CaseResult = { name: string; place: DataIn; rounds: Round[] };
export type StallsResult = {
  suite: "stalls";
  commit: string;
  at: string;
  machine: ReturnType<typeof describeMachine>;
  parameters: { sizes: Sizes; rounds: number };
  cases: CaseResult[];
};

/** Ends everything it started and removes everything it wrote, also when `interrupted` rejects. */
export async function runStalls(
  options: StallsOptions,
  output: ProgressOutput,
  interrupted: Promise<never>,
): Promise<StallsResult> {
  const { places, cases, rounds, sizes } = options;
  const commit = describeCommit();
  const progress = new ProgressBar("starting", cases.length, output);
  const measured: CaseResult[] = [];
  for (const place of places) {
    progress.phase(place, cases.length * rounds);
    measured.push(...(await measurePlace(place, options, () => progress.advance(), interrupted)));
  }
  progress.finish();
  const at = new Date().toISOString();
  return { suite: "stalls", commit, at, machine: describeMachine(), parameters: { sizes, rounds }, cases: measured };
}

async function measurePlace(
  place: DataIn,
  { cases, rounds, sizes }: StallsOptions,
  onRound: () => void,
  interrupted: Promise<never>,
): Promise<CaseResult[]> {
  const directory = mkdtempSync(join(tmpdir(), "parley-stalls-"));
  let server: ProbedServer | undefined;
  const measure = async (): Promise<CaseResult[]> => {
    const visits = await fill(directory, place, cases, rounds, sizes);
    server = await ProbedServer.start(directory);
    const results = cases.map(({ name }): CaseResult => ({ name, place, rounds: [] }));
    // Round by round, so that disturbances by the machine hit all cases.
    for (let round = 0; round < rounds; round++) {
      for (const [at, result] of results.entries()) {
        result.rounds.push(await visited(server, visits[at]![round]!));
        onRound();
      }
    }
    return results;
  };
  try {
    return await Promise.race([measure(), interrupted]);
  } finally {
    await server?.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fill(directory: string, place: DataIn, cases: readonly Case[], rounds: number, sizes: Sizes) {
  const data = await Filling.open(directory, place);
  const visits: Visit[][] = [];
  for (const [at, { prepare }] of cases.entries()) {
    const ofCase: Visit[] = [];
    for (let round = 0; round < rounds; round++) ofCase.push(await prepare(data, `c${at}r${round}x`, sizes));
    visits.push(ofCase);
  }
  await data.close();
  return visits;
}

async function visited(server: ProbedServer, visit: Visit): Promise<Round> {
  let measured: Round | undefined;
  const measure = async (work: () => Promise<void>): Promise<void> => {
    measured = await server.measure(work);
  };
  const whole = await server.measure(() => visit(server.url, measure));
  return measured ?? whole;
}

/** The best of the rounds. */
export function bestOf(rounds: readonly Round[]): Round {
  return rounds.toSorted((one, other) => one.server.cpuMs - other.server.cpuMs)[0]!;
}

export function formatStalls({ commit, machine: m, parameters, cases }: StallsResult): string {
  const places = [...new Set(cases.map(({ place }) => place))];
  const names = [...new Set(cases.map(({ name }) => name))];
  const gapOf = (name: string, place: DataIn): string => {
    const found = cases.find((one) => one.name === name && one.place === place);
    if (found === undefined) return "";
    const { server, idle } = bestOf(found.rounds);
    return `${server.cpuMs.toFixed(1)} ${server.wallMs.toFixed(1)} (${idle.wallMs.toFixed(1)})`;
  };
  const row = (name: string, cells: string[]): string =>
    `  ${name.padEnd(50)}${cells.map((cell) => cell.padStart(21)).join("")}`;
  return [
    `stalls at ${commit}: ${m.cores} × ${m.cpu}, kernel ${m.kernel}, bun ${m.bun}; the best of ${parameters.rounds} rounds`,
    "Longest gap of the event loop in ms: CPU, wall (an idle loop beside it, wall); data in:",
    row("", places),
    ...names.map((name) =>
      row(
        name,
        places.map((place) => gapOf(name, place)),
      ),
    ),
  ].join("\n");
}
