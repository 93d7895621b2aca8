/** Memory while users come and go: wave after wave comes, everybody writes a message and gets one, all leave. */
import { join } from "node:path";
import type { Aim, Bench, BenchContext, Outcome } from "../bench.ts";
import { curveChart, curveTable, type Level } from "../curve.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote } from "../load/remote.ts";
import type { SocketCalls, SocketLogin } from "../load/socket-load.ts";
import { residentBytes, settledBytes } from "../measure/process-memory.ts";
import { startFilled } from "../servers/filled.ts";
import { inBatches } from "../servers/filling.ts";
import { floorLogin } from "../servers/provision.ts";
import { startFloorProcess, type ServerProcess } from "../servers/server-process.ts";
import { UNLIMITED_CONNECTIONS } from "../servers/unlimited.ts";

type Parameters = { users: number; wave: number };
type Side = "parley" | "floor";
type Figures = { mib: number };

/** The second half of the users may take no more than this, over what the first half left. */
const AIM = 1.1;
const MIB = 2 ** 20;

export const CHURN: Bench<Parameters> = {
  name: "churn",
  summary: "memory while thousands of users come, write a message and go (100,000 with --full)",
  sizes: {
    tiny: { users: 40, wave: 10 },
    small: { users: 12_000, wave: 400 },
    full: { users: 100_000, wave: 500 },
  },
  async run({ users, wave }, context) {
    const { parley, data } = await startFilled(context, UNLIMITED_CONNECTIONS, async (filling) => {
      const logins: SocketLogin[] = [];
      await inBatches(await filling.users("u", users), async (user) => void logins.push(await filling.token(user)));
      return logins;
    });
    const floor = await context.endLater(startFloorProcess());
    const names = data.map(({ user }) => user);
    context.progress.phase("waves", Math.ceil(users / wave) * 2);
    const parleyMib = await comeAndGo(parley, data, wave, context);
    const floorMib = await comeAndGo(floor, names.map(floorLogin), wave, context);
    const levels = parleyMib.map((mib, at) => ({
      x: Math.min(users, at * wave),
      name: `${Math.min(users, at * wave)} users so far`,
      rounds: { parley: [{ mib }], floor: [{ mib: floorMib[at]! }] },
    }));
    return outcomeOf(levels);
  },
};

/** @returns resident memory before the first wave and after each one, MiB */
async function comeAndGo(
  server: ServerProcess,
  logins: SocketLogin[],
  wave: number,
  { endLater, progress }: BenchContext,
): Promise<number[]> {
  const file = join(import.meta.dir, "../load/socket-load.ts");
  const load = await endLater(startRemote<SocketCalls>("load of waves", file));
  const mib = [(await settledBytes(server.pid)) / MIB];
  for (let at = 0; at < logins.length; at += wave) {
    const users = logins.slice(at, at + wave);
    await load.call("come", { ...targetOf(server), users, atOnce: 64 });
    await load.call("exchange", {});
    await load.call("leave", {});
    mib.push(residentBytes(server.pid) / MIB);
    progress.advance();
  }
  mib[mib.length - 1] = (await settledBytes(server.pid)) / MIB;
  await load.end();
  return mib;
}

function outcomeOf(levels: Level<Side, Figures>[]): Outcome {
  const of = (level: Level<Side, Figures>): number => level.rounds.parley[0]!.mib;
  const [first, middle, last] = [levels[0]!, levels[Math.floor(levels.length / 2)]!, levels.at(-1)!];
  const later = of(last) / of(middle);
  const bytesPerUser = ((of(last) - of(first)) * MIB) / last.x;
  const aim: Aim = {
    what: "memory after all users over that after half of them",
    atMost: AIM,
    measured: later,
    unit: "times",
  };
  return {
    finding:
      `While ${last.x} users came, wrote a message and went, Parley's memory went from ${of(first).toFixed(0)} to ` +
      `${of(last).toFixed(0)} MiB, ${Math.round(bytesPerUser)} bytes a user; after half of them it was ${of(middle).toFixed(0)} MiB.`,
    durable: "Every message is on disk before it is acked.",
    notes: [
      "Recent messages stay in memory until they are flushed (--memtable-mb), so a part of the growth is theirs.",
      "The floor keeps nothing of a user who has gone: its line shows what the runtime alone does.",
    ],
    aims: [aim],
    tables: [curveTable("Resident memory, MiB", shownOf(levels), [{ title: "MiB", key: "mib" }])],
    charts: [
      curveChart(levels, "mib", {
        title: "Resident memory while users come and go",
        how: "A line that stops rising has a bound. A line that rises with every user has none.",
        x: { label: "users who have come and gone" },
        y: { label: "MiB" },
      }),
    ],
    figures: {
      mib: levels.map(({ x, rounds }) => ({ users: x, parley: rounds.parley[0]!.mib, floor: rounds.floor[0]!.mib })),
      bytesPerUser: Math.round(bytesPerUser),
    },
  };
}

const ROWS = 10;

/** The table has about ten of the waves. */
function shownOf(levels: Level<Side, Figures>[]): Level<Side, Figures>[] {
  const step = Math.max(1, Math.round(levels.length / ROWS));
  return levels.filter((_, at) => at % step === 0 || at === levels.length - 1);
}
