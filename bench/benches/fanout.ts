/** A message to a group: Parley beside a bare server that sends one frame to all members. */
import { join } from "node:path";
import type { Aim, Bench, BenchContext, Chart, Outcome, Table } from "../bench.ts";
import { UNLIMITED_SENDS } from "../servers/unlimited.ts";
import type { FanoutCalls, FanoutFigures } from "../load/fanout-load.ts";
import { targetOf } from "../load/load-process.ts";
import { startRemote, type Remote } from "../load/remote.ts";
import { formatFigures, rangeOf, type Range } from "../measure/ranges.ts";
import { inTurns, ratioOf } from "../measure/rounds.ts";
import { loadTexts } from "../measure/texts.ts";
import { floorLogin, provisionGroup, provisionUsers } from "../servers/provision.ts";
import {
  startFloorProcess,
  startParleyProcess,
  type ParleyProcess,
  type ServerProcess,
} from "../servers/server-process.ts";

type Parameters = {
  members: number[];
  /** Posts of a group that are on their way at once. */
  inFlight: number[];
  rounds: number;
  warmUpMs: number;
  measureMs: number;
};
type Side = "parley" | "bare" | "beside";
type Level = { members: number; inFlight: number; rounds: Record<Side, FanoutFigures[]> };

const SMALL: Parameters = { members: [10, 100, 1000], inFlight: [1, 8], rounds: 3, warmUpMs: 200, measureMs: 900 };
const AIM = 1.1;
/** Of the levels of `inFlight`, the one that `fanoutRatio` is of. */
export const RATIO_IN_FLIGHT = 8;

export const FANOUT: Bench<Parameters> = {
  name: "fanout",
  summary: "messages to groups of 10, 100 and 1,000 members, beside a bare server that only passes frames on",
  sizes: {
    tiny: { members: [3, 12], inFlight: [1, 8], rounds: 1, warmUpMs: 20, measureMs: 80 },
    small: SMALL,
    full: { ...SMALL, rounds: 10, measureMs: 3000 },
  },
  async run(parameters, context) {
    return outcomeOf(await measureFanout(parameters, context), context);
  },
};

export async function measureFanout(parameters: Parameters, context: BenchContext): Promise<Level[]> {
  const { members, inFlight, rounds, warmUpMs, measureMs } = parameters;
  const sides = await startSides(parameters, context);
  const names = Object.keys(sides) as Side[];
  const { progress } = context;
  progress.phase("fan-out", members.length * inFlight.length * rounds * names.length);
  const levels: Level[] = [];
  for (const count of members) {
    for (const posts of inFlight) {
      const measured = await inTurns(names, rounds, async (side) => {
        const round = { address: addressOf(count), inFlight: posts, warmUpMs, measureMs };
        const figures = await sides[side]!.call("round", round, warmUpMs + measureMs);
        progress.advance();
        return figures;
      });
      levels.push({ members: count, inFlight: posts, rounds: measured });
    }
  }
  for (const load of Object.values(sides)) await load.end();
  return levels;
}

/** CPU a delivered message, Parley's over the other side's. */
export const cpuRatioOf = ({ rounds }: Level): Range => ratioOf(cpuOf(rounds.parley), cpuOf(rounds[otherOf(rounds)]));

const groupOf = (members: number): string => `g${members}`;
const addressOf = (members: number): string => `#${groupOf(members)}`;
const cpuOf = (rounds: FanoutFigures[]): number[] => rounds.map(({ serverCpuMicros }) => serverCpuMicros);
const otherOf = (rounds: Level["rounds"]): Side => (rounds.beside === undefined ? "bare" : "beside");

type Sides = Partial<Record<Side, Remote<FanoutCalls>>>;

async function startSides({ members }: Parameters, context: BenchContext): Promise<Sides> {
  const options = [...UNLIMITED_SENDS, "--group-members-max", "100000", ...context.serveArguments];
  const parley = await context.endLater(startParleyProcess(options));
  const sides: Sides = { parley: await connect("parley", parley, members, context) };
  if (context.beside === undefined) {
    sides.bare = await connect("bare", await context.endLater(startFloorProcess("fanout")), members, context);
  } else {
    const beside = await context.endLater(startParleyProcess(options, context.beside));
    sides.beside = await connect("beside", beside, members, context);
  }
  return sides;
}

async function connect(side: Side, server: ServerProcess, members: number[], context: BenchContext) {
  const load = await context.endLater(
    startRemote<FanoutCalls>(`load on ${side}`, join(import.meta.dir, "../load/fanout-load.ts")),
  );
  const names = Array.from({ length: Math.max(...members) }, (_, at) => `m${at}`);
  const isBare = side === "bare";
  const users = isBare ? names.map(floorLogin) : await provisionUsers(server as ParleyProcess, names, context.progress);
  for (const count of isBare ? [] : members) {
    await provisionGroup(server as ParleyProcess, groupOf(count), users.slice(0, count));
  }
  const groups = members.map((count) => ({ address: addressOf(count), members: count }));
  await load.call("connect", { ...targetOf(server), users, groups, lines: loadTexts(context.corpus).lines });
  return load;
}

function outcomeOf(levels: Level[], { beside }: BenchContext): Outcome {
  const other = beside === undefined ? "the bare server" : "the other version";
  const largest = levels.at(-1)!;
  const ratio = cpuRatioOf(largest);
  return {
    finding:
      `A message to each of ${largest.members} members costs ${formatFigures(ratio)} times the CPU that ${other} ` +
      `needs (${largest.inFlight} messages on their way at once).`,
    durable: "Parley says sent, and passes a message on, when it is on disk. The bare server stores nothing.",
    notes: [ceiling(levels)],
    aims: beside === undefined ? aims(levels) : [],
    tables: [table(levels)],
    charts: charts(levels),
    figures: {
      fanoutRatio: ratio.median,
      levels: levels.map((level) => ({ ...level, cpuRatio: cpuRatioOf(level) })),
    },
  };
}

/** The load's own limit, from the cheapest round. */
function ceiling(levels: Level[]): string {
  const all = levels.flatMap(({ rounds }) => Object.values(rounds).flat());
  const least = Math.min(...all.map(({ loadCpuMicros }) => loadCpuMicros));
  return (
    `The load is one thread and spends at least ${least.toFixed(1)} µs on a delivered message, so it can take in ` +
    `${Math.round(1e6 / least)} a second at most. Compare CPU, not rates.`
  );
}

const aims = (levels: Level[]): Aim[] =>
  levels
    .filter(({ members, inFlight }) => members === 1000 && inFlight === RATIO_IN_FLIGHT)
    .map((level) => ({
      what: "fan-out to 1,000 members: CPU over the bare server's",
      atMost: AIM,
      measured: cpuRatioOf(level).median,
      unit: "times",
    }));

function table(levels: Level[]): Table {
  const rows = levels.map(({ members, inFlight, rounds, ...level }) => {
    const other = rounds[otherOf(rounds)];
    const of = (all: FanoutFigures[], key: keyof FanoutFigures) => formatFigures(rangeOf(all.map((one) => one[key])));
    return [
      `${members} members, ${inFlight} at once`,
      of(rounds.parley, "serverCpuMicros"),
      of(other, "serverCpuMicros"),
      formatFigures(cpuRatioOf({ members, inFlight, rounds, ...level })),
      of(rounds.parley, "deliveredPerSecond"),
      of(other, "deliveredPerSecond"),
      of(rounds.parley, "p50Ms"),
      of(other, "p50Ms"),
    ];
  });
  const other = levels[0]!.rounds.beside === undefined ? "bare" : "beside";
  const columns = [
    "CPU µs, parley",
    other,
    "ratio",
    "delivered/s, parley",
    other,
    "last member has it p50 ms, parley",
    other,
  ];
  return { title: "Delivered messages", columns: ["median (min–max)", ...columns], rows };
}

function charts(levels: Level[]): Chart[] {
  const inFlight = Math.max(...levels.map((level) => level.inFlight));
  const busy = levels.filter((level) => level.inFlight === inFlight);
  const series = (key: "serverCpuMicros" | "p50Ms") =>
    (Object.keys(busy[0]!.rounds) as Side[]).map((name) => ({
      name,
      points: busy.map(({ members, rounds }) => ({ x: members, y: rangeOf(rounds[name].map((one) => one[key])) })),
    }));
  const x = { label: "members of the group", isLog: true };
  return [
    {
      title: "Fan-out: server CPU a delivered message",
      how: `${inFlight} messages on their way at once. Lower is better. The bare server shows what the sockets alone cost.`,
      x,
      y: { label: "µs" },
      series: series("serverCpuMicros"),
    },
    {
      title: "Fan-out: until the last member has the message, p50",
      how: "From the send until every member has read it. Lower is better. The load takes a part of the time.",
      x,
      y: { label: "ms", isLog: true },
      series: series("p50Ms"),
    },
  ];
}
