/** Pages of history over HTTP, beside a bare HTTP server that sends a prepared answer of the same size. */
import { join } from "node:path";
import { userAddress } from "../../src/domain/address.ts";
import type { Aim, Bench, BenchContext, Outcome } from "../bench.ts";
import { barChart, curveTable, rangeIn, ratioIn, type Level } from "../curve.ts";
import type { FetchFigures, HttpCalls } from "../load/http-load.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote } from "../load/remote.ts";
import { formatFigures } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { seededRandom } from "../storage/measure.ts";
import { loadTexts } from "../measure/texts.ts";
import { startFilled } from "../servers/filled.ts";
import type { Filling } from "../servers/filling.ts";
import { startFloorProcess } from "../servers/server-process.ts";
import { UNLIMITED_CALLS } from "../servers/unlimited.ts";

type Parameters = { messages: number; page: number; connections: number; pages: number; rounds: number };
type Side = "parley" | "floor";
type PageLevel = Level<Side, FetchFigures>;

const AIM_MICROS = 100;
const PLACES = 500;

export const HISTORY: Bench<Parameters> = {
  name: "history",
  summary: "pages of history over HTTP: CPU a page and latency, beside a bare HTTP server",
  sizes: {
    tiny: { messages: 100, page: 30, connections: 2, pages: 20, rounds: 1 },
    small: { messages: 5000, page: 30, connections: 4, pages: 6000, rounds: 3 },
    full: { messages: 50_000, page: 30, connections: 4, pages: 30_000, rounds: 7 },
  },
  async run(parameters, context) {
    return outcomeOf(await measure(parameters, context));
  },
};

async function measure(parameters: Parameters, context: BenchContext): Promise<PageLevel[]> {
  const { messages, page, connections, pages: count, rounds } = parameters;
  const filled = await startFilled(context, UNLIMITED_CALLS, (filling) => fill(filling, messages, context));
  const floor = await context.endLater(startFloorProcess("http"));
  const load = await context.endLater(
    startRemote<HttpCalls>("load of pages", join(import.meta.dir, "../load/http-load.ts")),
  );
  const first = `/v1/conversations/%40b0/messages?limit=${page}`;
  const random = seededRandom(7);
  const anywhere = Array.from(
    { length: PLACES },
    () => `${first}&before=${page + 1 + Math.floor(random() * (messages - page))}`,
  );
  const levels: PageLevel[] = [];
  context.progress.phase("pages", rounds * 4);
  for (const [name, paths] of [
    ["newest page", [first]],
    ["a page from anywhere", anywhere],
  ] as const) {
    let bytes = 0;
    const measured = await inTurns(["parley", "floor"] as const, rounds, async (side) => {
      const ours = { ...targetOf(filled.parley), paths: [...paths] };
      // The first round is Parley's, so the size is known.
      const theirs = { ...targetOf(floor), paths: [`/page/${bytes}`] };
      const asked = { token: filled.data, connections, count };
      const figures = await load.call("fetchAll", { ...(side === "parley" ? ours : theirs), ...asked });
      if (side === "parley") bytes = Math.round(figures.kiB * 1024);
      context.progress.advance();
      return figures;
    });
    levels.push({ x: levels.length, name, rounds: measured });
  }
  return levels;
}

/** Two users who write to each other. @returns the token of one */
async function fill(filling: Filling, messages: number, { corpus }: BenchContext): Promise<string> {
  const [a, b] = [(await filling.users("a", 1))[0]!, (await filling.users("b", 1))[0]!];
  const { lines } = loadTexts(corpus);
  for (let at = 0; at < messages; at++) {
    const [from, to] = at % 2 === 0 ? [a, b] : [b, a];
    await filling.send(from, userAddress(to), lines[at % lines.length]!);
  }
  return (await filling.token(a)).token;
}

function outcomeOf(levels: PageLevel[]): Outcome {
  const anywhere = levels.at(-1)!;
  const cpu = rangeIn(anywhere.rounds.parley, "serverCpuMicros");
  const aim: Aim = {
    what: "history over HTTP, a page from anywhere: CPU",
    atMost: AIM_MICROS,
    measured: cpu.median,
    unit: "µs",
  };
  return {
    finding:
      `A page of history over HTTP costs ${formatFigures(cpu)} µs of server CPU, ` +
      `${formatFigures(ratioIn(anywhere, "serverCpuMicros", "parley", "floor"))} times what a bare HTTP server needs for as many bytes.`,
    durable: "Everything was on disk before; reading writes nothing.",
    notes: ["Every page is read from a warm server. How fast a cold one is: bench storage."],
    aims: [aim],
    tables: [
      curveTable("Pages", levels, [
        { title: "CPU µs", key: "serverCpuMicros" },
        { title: "a second", key: "perSecond" },
        { title: "p50 ms", key: "p50Ms" },
        { title: "p99 ms", key: "p99Ms" },
        { title: "KiB", key: "kiB" },
      ]),
    ],
    charts: [
      barChart(levels, "serverCpuMicros", {
        title: "Server CPU of a page of history over HTTP",
        how: "Lower is better. The floor sends a prepared answer of the same size and checks no token.",
        y: { label: "µs" },
        aim: { at: AIM_MICROS, label: "aim" },
      }),
    ],
    figures: { pages: levels.map(({ name, rounds }) => ({ name, rounds })), cpuMicrosPerPage: cpu.median },
  };
}
