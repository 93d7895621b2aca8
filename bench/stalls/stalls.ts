/**
 * The stalls suite: how long one client's request blocks the event loop of a server that has just started. Each case
 * runs several times, on data that nothing has touched since the start. The best round counts, since a gap that the
 * work causes is in all rounds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProgressBar } from "../../src/cli/progress-bar.ts";
import type { Bench, Outcome } from "../bench.ts";
import { rangeOf } from "../measure/ranges.ts";
import { type Case, CASES, SIZES, type Sizes, type Visit } from "./cases.ts";
import { Filling, type DataIn } from "../servers/filling.ts";
import type { Gap } from "./loop-probe.ts";
import { ProbedServer } from "./probed-server.ts";

export type StallsOptions = { rounds: number; sizes: Sizes; places: readonly DataIn[]; cases: readonly Case[] };
type StallsParameters = { rounds: number; sizes: Sizes; places: DataIn[] };

const TINY_SIZES: Sizes = { groups: 20, members: 30, peers: 20, hellos: 10, conversations: 100 };

export const STALLS: Bench<StallsParameters> = {
  name: "stalls",
  summary: "how long the event loop stands still for what a client asks of a server that was just started",
  sizes: {
    tiny: { rounds: 1, sizes: TINY_SIZES, places: ["recent"] },
    small: { rounds: 1, sizes: { ...SIZES, conversations: 5000 }, places: ["recent"] },
    full: { rounds: 3, sizes: SIZES, places: ["log", "recent", "own"] },
  },
  async run(parameters, { progress, interrupted }) {
    return outcomeOf(await measureStalls({ ...parameters, cases: CASES }, progress, interrupted));
  },
};

export type Round = { server: Gap; idle: Gap };
export type CaseResult = { name: string; place: DataIn; rounds: Round[] };

/** Ends everything it started and removes everything it wrote, also when `interrupted` rejects. */
export async function measureStalls(
  options: StallsOptions,
  progress: ProgressBar,
  interrupted: Promise<never>,
): Promise<CaseResult[]> {
  const { places, cases, rounds } = options;
  const measured: CaseResult[] = [];
  for (const place of places) {
    progress.phase(place, cases.length * rounds);
    measured.push(...(await measurePlace(place, options, () => progress.advance(), interrupted)));
  }
  return measured;
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

function outcomeOf(cases: CaseResult[]): Outcome {
  const places = [...new Set(cases.map(({ place }) => place))];
  const names = [...new Set(cases.map(({ name }) => name))];
  const found = (name: string, place: DataIn) => cases.find((one) => one.name === name && one.place === place);
  const gapOf = (name: string, place: DataIn): string => {
    const one = found(name, place);
    if (one === undefined) return "";
    const { server, idle } = bestOf(one.rounds);
    return `${server.cpuMs.toFixed(1)} ${server.wallMs.toFixed(1)} (${idle.wallMs.toFixed(1)})`;
  };
  const worst = cases.toSorted((a, b) => bestOf(b.rounds).server.cpuMs - bestOf(a.rounds).server.cpuMs)[0]!;
  const gaps = (place: DataIn, side: "server" | "idle") =>
    names.map((name, x) => ({ x, y: rangeOf((found(name, place)?.rounds ?? []).map((round) => round[side].wallMs)) }));
  return {
    finding:
      `The longest time that a request keeps the event loop of a fresh server is ` +
      `${bestOf(worst.rounds).server.cpuMs.toFixed(1)} ms of CPU (${worst.name}).`,
    durable: "Messages are on disk before the server starts.",
    notes: ["The idle loop beside the server shows the gaps that the machine causes."],
    aims: [],
    tables: [
      {
        title: "Longest gap of the event loop in ms: CPU, wall (an idle loop beside it, wall); data in:",
        columns: ["", ...places],
        rows: names.map((name) => [name, ...places.map((place) => gapOf(name, place))]),
      },
    ],
    charts: places.map((place) => ({
      title: `Longest gap of the event loop, data in: ${place}`,
      how: "Lower is better. A gap that the idle loop has, too, comes from the machine.",
      x: { label: "", names },
      y: { label: "ms" },
      series: [
        { name: "parley", points: gaps(place, "server") },
        { name: "idle loop", points: gaps(place, "idle") },
      ],
    })),
    figures: { cases },
  };
}
