/** A resume storm: all users come back at once, each with a cursor, and get what they missed. */
import { join } from "node:path";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import type { Bench, Outcome } from "../bench.ts";
import { barChart, curveTable, rangeIn, type Level } from "../curve.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote, type Remote } from "../load/remote.ts";
import type { SocketCalls, SocketLogin } from "../load/socket-load.ts";
import { rounded } from "../measure/meter.ts";
import { processCpuMs } from "../measure/process-cpu.ts";
import { formatFigures } from "../measure/ranges.ts";
import { loadTexts } from "../measure/texts.ts";
import { startFilled } from "../servers/filled.ts";
import { inBatches, type Filling } from "../servers/filling.ts";
import type { ParleyProcess } from "../servers/server-process.ts";
import { UNLIMITED_CONNECTIONS } from "../servers/unlimited.ts";

type Parameters = { users: number; missed: number; senders: number; rounds: number };
type Figures = {
  seconds: number;
  usersPerSecond: number;
  messagesPerSecond: number;
  cpuMicrosPerUser: number;
  p50Ms: number;
  p99Ms: number;
};

export const RESUME: Bench<Parameters> = {
  name: "resume",
  summary: "all users come back at once and get what they missed, right after a start and again",
  sizes: {
    tiny: { users: 12, missed: 6, senders: 3, rounds: 1 },
    small: { users: 500, missed: 30, senders: 10, rounds: 3 },
    full: { users: 5000, missed: 100, senders: 20, rounds: 5 },
  },
  async run(parameters, context) {
    const { users, rounds } = parameters;
    const { parley, data: logins } = await startFilled(context, UNLIMITED_CONNECTIONS, (filling) =>
      fill(filling, parameters, loadTexts(context.corpus).lines),
    );
    const load = await context.endLater(startLoad());
    context.progress.phase("storms", rounds * 2);
    const [cold, warm]: [Figures[], Figures[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      for (const storms of [cold, warm]) {
        if (storms === cold && round > 0) await parley.restart();
        storms.push(await storm(parley, load, logins, parameters));
        context.progress.advance();
      }
    }
    const level = (x: number, name: string, measured: Figures[]) => ({ x, name, rounds: { parley: measured } });
    return outcomeOf([level(0, "right after a start", cold), level(1, "again", warm)], users, parameters.missed);
  },
};

const startLoad = () => startRemote<SocketCalls>("load of the storm", join(import.meta.dir, "../load/socket-load.ts"));

/** Every user has a cursor that is `missed` messages old. */
async function fill(filling: Filling, { users: count, missed, senders: peerCount }: Parameters, lines: string[]) {
  const users = await filling.users("u", count);
  const peers = await filling.users("p", peerCount);
  for (let at = 0; at < missed; at++) {
    await inBatches(users, (user) =>
      filling.send(peers[at % peerCount]!, userAddress(user), lines[at % lines.length]!),
    );
  }
  const login = async (user: UserId): Promise<SocketLogin> => {
    const { token } = await filling.token(user);
    const cursor = filling.cursorOf(user);
    return { user, token, cursor: { ...cursor, timeline: cursor.timeline - missed } };
  };
  return Promise.all(users.map(login));
}

async function storm(
  parley: ParleyProcess,
  load: Remote<SocketCalls>,
  users: SocketLogin[],
  { missed }: Parameters,
): Promise<Figures> {
  const before = processCpuMs(parley.pid);
  const { seconds, messages, p50Ms, p99Ms } = await load.call("come", {
    ...targetOf(parley),
    users,
    atOnce: users.length,
  });
  const cpuMs = processCpuMs(parley.pid) - before;
  await load.call("leave", {});
  if (messages !== users.length * missed)
    throw new Error(`${messages} messages came, ${users.length * missed} were missed`);
  return {
    seconds: rounded(seconds, 3),
    usersPerSecond: Math.round(users.length / seconds),
    messagesPerSecond: Math.round(messages / seconds),
    cpuMicrosPerUser: Math.round((cpuMs * 1000) / users.length),
    p50Ms,
    p99Ms,
  };
}

function outcomeOf(levels: Level<"parley", Figures>[], users: number, missed: number): Outcome {
  const [cold] = levels as [Level<"parley", Figures>];
  const of = (key: keyof Figures) => formatFigures(rangeIn(cold.rounds.parley, key));
  return {
    finding:
      `Right after a start, ${users} users who come at once have all of their ${missed} missed messages within ` +
      `${of("seconds")} s, at ${of("cpuMicrosPerUser")} µs of server CPU each.`,
    durable: "Everything was on disk before; a resume writes nothing.",
    notes: ["The time of a user begins with the connection and ends with live. The load takes a part of it."],
    aims: [],
    tables: [
      curveTable("Resume storm", levels, [
        { title: "until all are live, s", key: "seconds" },
        { title: "users/s", key: "usersPerSecond" },
        { title: "messages/s", key: "messagesPerSecond" },
        { title: "CPU µs a user", key: "cpuMicrosPerUser" },
        { title: "p50 ms", key: "p50Ms" },
        { title: "p99 ms", key: "p99Ms" },
      ]),
    ],
    charts: [
      barChart(levels, "cpuMicrosPerUser", {
        title: `Server CPU of a user who comes back and missed ${missed} messages`,
        how: "Lower is better. Right after a start, each user's state and messages are read from disk.",
        y: { label: "µs" },
      }),
    ],
    figures: { storms: levels.map(({ name, rounds }) => ({ name, rounds: rounds.parley })) },
  };
}
