/** Long polls that the server holds: bytes of each, beside a bare HTTP server that holds as many. */
import { join } from "node:path";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import type { Aim, Bench, BenchContext, Outcome } from "../bench.ts";
import { barChart, curveTable, rangeIn, type Level } from "../curve.ts";
import type { HttpCalls } from "../load/http-load.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote, type Remote } from "../load/remote.ts";
import { settledBytes } from "../measure/process-memory.ts";
import { formatFigures } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { startFilled } from "../servers/filled.ts";
import { startFloorProcess, type ServerProcess } from "../servers/server-process.ts";
import { UNLIMITED_CALLS, UNLIMITED_CONNECTIONS } from "../servers/unlimited.ts";

type Parameters = { polls: number; rounds: number };
type Side = "parley" | "floor";
/** `userBytes`: of the connection, the first answer, and in Parley the user's state. */
type Figures = { userBytes: number; heldBytes: number };

const AIM_BYTES = 6144;
const ANSWER_MS_MAX = 20_000;
const LOOK_MS = 20;

export const POLL: Bench<Parameters> = {
  name: "poll",
  summary: "held long polls: bytes of each, beside a bare HTTP server",
  sizes: {
    tiny: { polls: 30, rounds: 1 },
    small: { polls: 5000, rounds: 2 },
    full: { polls: 9000, rounds: 3 },
  },
  async run({ polls, rounds }, context) {
    const measured = await inTurns(["parley", "floor"] as const, rounds, async (side, round) => {
      const { server, tokens, wake } =
        side === "parley" ? await startParley(polls, context) : await startFloor(polls, context);
      context.progress.phase(`${side}, round ${round + 1}`, 1);
      const figures = await hold(server, tokens, wake, context);
      await server.end();
      return figures;
    });
    return outcomeOf({ x: polls, name: `${polls} polls`, rounds: measured });
  },
};

/** `wake` returns how many polls must be answered because of it. */
type Started = { server: ServerProcess; tokens: string[]; wake: () => Promise<number> };

async function startParley(polls: number, context: BenchContext): Promise<Started> {
  const serve = [...UNLIMITED_CALLS, ...UNLIMITED_CONNECTIONS];
  const { parley, data } = await startFilled(context, serve, async (filling) => {
    const users = await filling.users("u", polls);
    await filling.users("w", 1);
    const writer = await filling.token("w0" as UserId);
    const all = await Promise.all(users.map((user) => filling.token(user)));
    return { tokens: all.map(({ token }) => token), writer: writer.token, first: userAddress(users[0]!) };
  });
  const wake = async () => {
    const headers = { authorization: `Bearer ${data.writer}`, "content-type": "application/json" };
    const body = JSON.stringify({ to: data.first, text: "good morning", ref: "w-1" });
    const response = await fetch(new URL("/v1/messages", parley.url), { method: "POST", headers, body });
    if (!response.ok) throw new Error(`POST /v1/messages: ${response.status} ${await response.text()}`);
    return 1;
  };
  return { server: parley, tokens: data.tokens, wake };
}

async function startFloor(polls: number, { endLater }: BenchContext): Promise<Started> {
  const server = await endLater(startFloorProcess("http"));
  return { server, tokens: Array.from({ length: polls }, (_, at) => `t${at}`), wake: async () => 0 };
}

async function hold(
  server: ServerProcess,
  tokens: string[],
  wake: Started["wake"],
  { endLater }: BenchContext,
): Promise<Figures> {
  const load = await endLater(startRemote<HttpCalls>("load of polls", join(import.meta.dir, "../load/http-load.ts")));
  const atStart = await settledBytes(server.pid);
  await load.call("come", { ...targetOf(server), path: "/v1/sync", tokens });
  const before = await settledBytes(server.pid);
  await load.call("hold", {});
  const held = await settledBytes(server.pid);
  if ((await load.call("answered", {})) !== 0) throw new Error("a poll was answered that should have been held");
  // The one whose user got a message, and no other: so the polls were held, and not lost.
  await answered(load, await wake());
  await load.end();
  return {
    userBytes: Math.round((before - atStart) / tokens.length),
    heldBytes: Math.round((held - before) / tokens.length),
  };
}

async function answered(load: Remote<HttpCalls>, expected: number): Promise<void> {
  const until = performance.now() + ANSWER_MS_MAX;
  for (;;) {
    const count = await load.call("answered", {});
    if (count === expected) return;
    if (count > expected || performance.now() > until) throw new Error(`${count} polls were answered, not ${expected}`);
    await Bun.sleep(LOOK_MS);
  }
}

function outcomeOf(level: Level<Side, Figures>): Outcome {
  const bytes = rangeIn(level.rounds.parley, "heldBytes");
  const aim: Aim = { what: "a held long poll", atMost: AIM_BYTES, measured: bytes.median, unit: "bytes" };
  return {
    finding:
      `A long poll that is held takes ${formatFigures(bytes)} bytes, on a connection that was open before ` +
      `(${formatFigures(rangeIn(level.rounds.floor, "heldBytes"))} on a bare HTTP server).`,
    durable: "A poll writes nothing.",
    notes: ["Bytes are resident memory of the process, once it rests, over the number of polls."],
    aims: [aim],
    tables: [
      curveTable(
        "Long polls, bytes each",
        [level],
        [
          { title: "held", key: "heldBytes" },
          { title: "user, connection, first answer", key: "userBytes" },
        ],
      ),
    ],
    charts: [
      barChart([level], "heldBytes", {
        title: "Memory of a held long poll",
        how: "Lower is better.",
        y: { label: "bytes" },
        aim: { at: AIM_BYTES, label: "aim" },
      }),
    ],
    figures: { rounds: level.rounds, bytesPerPoll: bytes.median },
  };
}
