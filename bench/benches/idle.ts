/** Users who are connected and do nothing: bytes and CPU of each; and what it costs to come. */
import { join } from "node:path";
import type { UserId } from "../../src/domain/address.ts";
import type { Bench, BenchContext, Outcome } from "../bench.ts";
import { barChart, curveTable, rangeIn, ratioIn, type Level } from "../curve.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote } from "../load/remote.ts";
import type { SocketCalls, SocketLogin } from "../load/socket-load.ts";
import { rounded } from "../measure/meter.ts";
import { processCpuMs } from "../measure/process-cpu.ts";
import { settledBytes } from "../measure/process-memory.ts";
import { formatFigures } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { startFilled } from "../servers/filled.ts";
import { floorLogin } from "../servers/provision.ts";
import { startFloorProcess, type ParleyProcess, type ServerProcess } from "../servers/server-process.ts";
import { UNLIMITED_CALLS, UNLIMITED_CONNECTIONS } from "../servers/unlimited.ts";
import { passwordLogins, type PasswordFigures } from "./password-logins.ts";

type Parameters = { sockets: number; warmUpSockets: number; rounds: number; idleMs: number; passwords: number };
type Side = "parley" | "floor";
type Figures = {
  bytesEach: number;
  /** Of all sockets together while nothing happens. */
  idleCpuMsPerSecond: number;
  loginCpuMicros: number;
  loginsPerSecond: number;
  loginP50Ms: number;
  loginP99Ms: number;
};

export const IDLE: Bench<Parameters> = {
  name: "idle",
  summary: "idle sockets: bytes and CPU of each; logins with a token and with a password",
  sizes: {
    tiny: { sockets: 40, warmUpSockets: 4, rounds: 1, idleMs: 50, passwords: 1 },
    small: { sockets: 3000, warmUpSockets: 200, rounds: 2, idleMs: 1000, passwords: 30 },
    full: { sockets: 9000, warmUpSockets: 500, rounds: 3, idleMs: 10_000, passwords: 200 },
  },
  async run(parameters, context) {
    const { progress, rounds } = { ...context, ...parameters };
    const passwords: PasswordFigures[] = [];
    const measured = await inTurns(["parley", "floor"] as const, rounds, async (side, round) => {
      const { server, logins } = await startSide(side, parameters, context);
      progress.phase(`${side}, round ${round + 1}`, 1);
      const figures = await sockets(server, logins, parameters, context);
      if (side === "parley") passwords.push(await passwordLogins(server, parameters.passwords));
      await server.end();
      return figures;
    });
    return outcomeOf({ x: parameters.sockets, name: `${parameters.sockets} sockets`, rounds: measured }, passwords);
  },
};

/** A new server each time: what one round has left in memory, the next would use again. */
async function startSide(side: Side, { sockets: count, warmUpSockets }: Parameters, context: BenchContext) {
  const names = Array.from({ length: count + warmUpSockets }, (_, at) => `u${at}`);
  if (side === "floor") {
    const server: ServerProcess = await context.endLater(startFloorProcess());
    return { server, logins: names.map(floorLogin) };
  }
  const serve = [...UNLIMITED_CONNECTIONS, ...UNLIMITED_CALLS];
  const { parley, data } = await startFilled(context, serve, async (filling) => {
    const users = await filling.users("u", names.length);
    return Promise.all(users.map((user: UserId) => filling.token(user)));
  });
  return { server: parley as ServerProcess | ParleyProcess, logins: data as SocketLogin[] };
}

async function sockets(
  server: ServerProcess,
  logins: SocketLogin[],
  { sockets: count, warmUpSockets, idleMs }: Parameters,
  { endLater }: BenchContext,
): Promise<Figures> {
  const file = join(import.meta.dir, "../load/socket-load.ts");
  const [early, load] = [
    await endLater(startRemote<SocketCalls>("warm-up", file)),
    await endLater(startRemote<SocketCalls>("load", file)),
  ];
  const target = targetOf(server);
  await early.call("come", { ...target, users: logins.slice(count, count + warmUpSockets), atOnce: 16 });
  const [bytesBefore, cpuBefore] = [await settledBytes(server.pid), processCpuMs(server.pid)];
  const came = await load.call("come", { ...target, users: logins.slice(0, count), atOnce: 64 });
  const cpuMs = processCpuMs(server.pid) - cpuBefore;
  const bytesEach = ((await settledBytes(server.pid)) - bytesBefore) / count;
  const idleBefore = processCpuMs(server.pid);
  await Bun.sleep(idleMs);
  const idleCpuMs = processCpuMs(server.pid) - idleBefore;
  await Promise.all([early.end(), load.end()]);
  return {
    bytesEach: Math.round(bytesEach),
    idleCpuMsPerSecond: rounded((idleCpuMs * 1000) / idleMs, 2),
    loginCpuMicros: rounded((cpuMs * 1000) / count, 1),
    loginsPerSecond: Math.round(count / came.seconds),
    loginP50Ms: came.p50Ms,
    loginP99Ms: came.p99Ms,
  };
}

function outcomeOf(level: Level<Side, Figures>, passwords: PasswordFigures[]): Outcome {
  const bytes = rangeIn(level.rounds.parley, "bytesEach");
  return {
    finding:
      `A user who connects to a fresh server and stays takes ${formatFigures(bytes)} bytes of Parley's memory, the user's own ` +
      `state included (${formatFigures(rangeIn(level.rounds.floor, "bytesEach"))} on the floor); coming costs ` +
      `${formatFigures(rangeIn(level.rounds.parley, "loginCpuMicros"))} µs of CPU with a token, and ` +
      `${formatFigures(rangeIn(passwords, "cpuMsEach"))} ms with a password.`,
    durable: "A login with a token writes nothing. A login with a password is on disk before it is answered.",
    notes: ["Bytes are resident memory of the process, once it rests, over the number of sockets."],
    aims: [],
    tables: [
      curveTable(
        "Sockets",
        [level],
        [
          { title: "bytes each", key: "bytesEach" },
          { title: "CPU of all while idle, ms a second", key: "idleCpuMsPerSecond" },
        ],
      ),
      curveTable(
        "Logins with a token",
        [level],
        [
          { title: "CPU µs", key: "loginCpuMicros" },
          { title: "a second", key: "loginsPerSecond" },
          { title: "p50 ms", key: "loginP50Ms" },
          { title: "p99 ms", key: "loginP99Ms" },
        ],
      ),
      {
        title: "Logins with a password, 4 at once",
        columns: ["median (min–max)", "CPU ms", "a second"],
        rows: [
          ["parley", formatFigures(rangeIn(passwords, "cpuMsEach")), formatFigures(rangeIn(passwords, "perSecond"))],
        ],
      },
    ],
    charts: [
      barChart([level], "bytesEach", {
        title: "Memory of a connected user",
        how: "Lower is better. Parley's has the user's state, which the floor does not have.",
        y: { label: "bytes" },
      }),
      barChart([level], "loginCpuMicros", {
        title: "Server CPU of a login with a token",
        how: "TCP connection, upgrade, hello, welcome. Lower is better. Parley loads each user from disk.",
        y: { label: "µs" },
      }),
    ],
    figures: { rounds: level.rounds, passwords, loginCpuRatio: ratioIn(level, "loginCpuMicros", "parley", "floor") },
  };
}
