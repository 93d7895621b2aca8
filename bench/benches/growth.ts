/**
 * A server with more and more users who have a history: what a message costs, before and after a restart, how long a
 * start takes, and memory. Every user gets one message a pass, so that nobody's state can stay cold.
 */
import { join } from "node:path";
import { userAddress } from "../../src/domain/address.ts";
import type { Aim, Bench, BenchContext, Chart, Outcome } from "../bench.ts";
import { curveChart, curveTable, rangeIn, type Level } from "../curve.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote } from "../load/remote.ts";
import type { ScatterCalls } from "../load/scatter-load.ts";
import { settledBytes } from "../measure/process-memory.ts";
import { formatFigures } from "../measure/ranges.ts";
import { loadTexts } from "../measure/texts.ts";
import { startFilled } from "../servers/filled.ts";
import { inBatches, type Filling } from "../servers/filling.ts";
import type { ParleyProcess } from "../servers/server-process.ts";
import { UNLIMITED_CONNECTIONS, UNLIMITED_SENDS } from "../servers/unlimited.ts";

type Parameters = {
  users: number[];
  /** Messages that every user has before the first start. */
  history: number;
  /** Passes in a row, each with one message to every user. The first one after a start is told apart. */
  passes: number;
  restarts: number;
  inFlight: number;
};
/** Of one start of the server. */
type Figures = {
  startSeconds: number;
  freshBytes: number;
  touchedBytes: number;
  bytesPerUser: number;
  /** CPU of a message, µs: to a user nobody had loaded, and to one in memory. */
  firstMicros: number;
  warmMicros: number;
};
type Phase = "before a restart" | "after a restart";
type GrowthLevel = Level<Phase, Figures>;

const RECEIVERS_PER_SENDER = 20;
const AIM_BYTES = 6144;
const AIM_FLAT = 1.1;

export const GROWTH: Bench<Parameters> = {
  name: "growth",
  summary: "more and more users with history: cost of a message before and after a restart, start-up, memory",
  sizes: {
    tiny: { users: [20], history: 2, passes: 2, restarts: 1, inFlight: 4 },
    small: { users: [1000, 3000, 10_000], history: 10, passes: 3, restarts: 2, inFlight: 64 },
    full: { users: [1000, 3000, 10_000, 20_000, 50_000], history: 20, passes: 5, restarts: 3, inFlight: 64 },
  },
  async run(parameters, context) {
    const levels: GrowthLevel[] = [];
    for (const users of parameters.users) levels.push(await grown(users, parameters, context));
    return outcomeOf(levels);
  },
};

async function grown(users: number, parameters: Parameters, context: BenchContext): Promise<GrowthLevel> {
  const { lines } = loadTexts(context.corpus);
  const serve = [...UNLIMITED_SENDS, ...UNLIMITED_CONNECTIONS];
  const { parley, data: senders } = await startFilled(context, serve, (filling) =>
    fill(filling, users, parameters, lines),
  );
  context.progress.phase(`${users} users`, parameters.restarts + 1);
  const measure = async (startSeconds: number): Promise<Figures> => {
    const load = await context.endLater(
      startRemote<ScatterCalls>("load of growth", join(import.meta.dir, "../load/scatter-load.ts")),
    );
    const connected = { ...targetOf(parley), senders, receivers: users, inFlight: parameters.inFlight, lines };
    const figures = await touched(
      parley,
      () => load.call("connect", connected),
      () => load.call("pass", {}),
      {
        users,
        passes: parameters.passes,
      },
    );
    await load.end();
    context.progress.advance();
    return { startSeconds, ...figures };
  };
  const before = [await measure(parley.startSeconds)];
  const after: Figures[] = [];
  for (let at = 0; at < parameters.restarts; at++) {
    await parley.restart();
    after.push(await measure(parley.startSeconds));
  }
  await parley.end();
  return { x: users, name: `${users} users`, rounds: { "before a restart": before, "after a restart": after } };
}

async function touched(
  { pid }: ParleyProcess,
  connect: () => Promise<void>,
  pass: () => Promise<{ serverCpuMicros: number }>,
  { users, passes }: { users: number; passes: number },
): Promise<Omit<Figures, "startSeconds">> {
  await connect();
  const freshBytes = await settledBytes(pid);
  const first = await pass();
  const touchedBytes = await settledBytes(pid);
  let warmMicros = 0;
  for (let at = 1; at < passes; at++) warmMicros += (await pass()).serverCpuMicros / (passes - 1);
  return {
    freshBytes,
    touchedBytes,
    bytesPerUser: Math.round((touchedBytes - freshBytes) / users),
    firstMicros: first.serverCpuMicros,
    warmMicros,
  };
}

/** Everybody has got messages from one sender. @returns the senders' logins */
async function fill(filling: Filling, count: number, { history }: Parameters, lines: string[]) {
  const users = await filling.users("u", count);
  const senders = await filling.users("s", Math.ceil(count / RECEIVERS_PER_SENDER));
  const order = [...users.keys()];
  for (let message = 0; message < history; message++) {
    await inBatches(order, (at) => {
      const sender = senders[Math.floor((at * senders.length) / count)]!;
      return filling.send(sender, userAddress(users[at]!), lines[(at + message) % lines.length]!);
    });
  }
  return Promise.all(senders.map((user) => filling.token(user)));
}

const PHASES: Phase[] = ["before a restart", "after a restart"];

/** The last level's median over the first one's. */
function growthOf(levels: GrowthLevel[], phase: Phase, key: keyof Figures): number {
  const of = (level: GrowthLevel) => rangeIn(level.rounds[phase], key).median;
  return of(levels.at(-1)!) / of(levels[0]!);
}

function outcomeOf(levels: GrowthLevel[]): Outcome {
  const [least, most] = [levels[0]!, levels.at(-1)!];
  const of = (key: keyof Figures) => formatFigures(rangeIn(most.rounds["after a restart"], key));
  const [before, after] = PHASES.map((phase) => growthOf(levels, phase, "warmMicros")) as [number, number];
  return {
    finding:
      `From ${least.name} to ${most.name}, a message costs ${before.toFixed(2)} times as much before a restart and ` +
      `${after.toFixed(2)} times after one. With ${most.name} a start takes ${of("startSeconds")} s.`,
    durable: "Every message is on disk before it is acked. Receivers are away, so nobody confirms.",
    notes: [
      "Each user gets one message a pass. In the first pass after a start the server loads every user from disk.",
      "Bytes of a user touched: resident memory after the first pass less that before it, over the users. The messages of the pass are in it.",
    ],
    aims: aims(most, before, after),
    tables: [
      curveTable("CPU a message, µs", levels, [
        { title: "to users in memory", key: "warmMicros" },
        { title: "first after the start", key: "firstMicros" },
      ]),
      curveTable("Start and memory", levels, [
        { title: "start, s", key: "startSeconds" },
        { title: "bytes a user touched", key: "bytesPerUser" },
        { title: "bytes after", key: "touchedBytes" },
      ]),
    ],
    charts: charts(levels),
    figures: { levels, growthBeforeRestart: before, growthAfterRestart: after },
  };
}

const aims = (most: GrowthLevel, before: number, after: number): Aim[] => [
  { what: "growth: a message, from fewest to most users", atMost: AIM_FLAT, measured: before, unit: "times" },
  { what: "growth: the same after a restart", atMost: AIM_FLAT, measured: after, unit: "times" },
  {
    what: "memory of a user touched",
    atMost: AIM_BYTES,
    measured: rangeIn(most.rounds["after a restart"], "bytesPerUser").median,
    unit: "bytes",
  },
];

function charts(levels: GrowthLevel[]): Chart[] {
  const x = { label: "users with history", isLog: true };
  const mib = levels.map((level) => ({
    ...level,
    rounds: {
      "right after a start": level.rounds["after a restart"].map(({ freshBytes }) => ({ mib: freshBytes / 2 ** 20 })),
      "every user touched": level.rounds["after a restart"].map(({ touchedBytes }) => ({
        mib: touchedBytes / 2 ** 20,
      })),
    },
  }));
  return [
    curveChart(levels, "warmMicros", {
      title: "Server CPU of a message to users in memory",
      how: "Flat is the aim: more users must not make a message dearer.",
      x,
      y: { label: "µs" },
    }),
    curveChart(levels, "firstMicros", {
      title: "Server CPU of the first message to each user after a start",
      how: "The server loads each user from disk. Lower and flat is better.",
      x,
      y: { label: "µs" },
    }),
    curveChart(levels, "startSeconds", {
      title: "Seconds from the start of the process until it listens",
      how: "Lower is better. After a restart the log is short, since the server flushed before it ended.",
      x,
      y: { label: "s" },
    }),
    curveChart(mib, "mib", {
      title: "Resident memory",
      how: "The distance of the lines is what the users' states take. Lower is better.",
      x,
      y: { label: "MiB" },
    }),
  ];
}
