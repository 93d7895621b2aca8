/**
 * Parley and one peer after the other. While a peer is measured, it is the only one that runs; Parley runs beside it
 * without a load. They take turns, and ratios are those of neighbouring rounds.
 */
import type { BenchContext } from "../bench.ts";
import { UNLIMITED_SENDS } from "../servers/unlimited.ts";
import { startLoad, type LoadProcess } from "../load/load-process.ts";
import type { LoadFigures, LoadPair } from "../load/load.ts";
import type { Protocol } from "../load/talkers.ts";
import { untilQuiet } from "../measure/quiet.ts";
import { median } from "../measure/ranges.ts";
import { inTurns } from "../measure/rounds.ts";
import { loadTexts } from "../measure/texts.ts";
import { floorPairs, provisionPairs } from "../servers/provision.ts";
import { startParleyProcess, type ServerProcess } from "../servers/server-process.ts";
import { installMissing, remedyFor } from "./install.ts";
import { peersNamed } from "./list.ts";
import type { Peer, PeerServer } from "./peer.ts";

export type Parameters = {
  pairs: number;
  /** Undelivered messages that each of the two users keeps in the closed loop. */
  windowPerUser: number;
  rounds: number;
  openRounds: number;
  warmUpMs: number;
  measureMs: number;
  /** Longest wait before each round for what the servers still do after the one before. */
  quietMs: number;
  /** Rate of the open loop, as a share of the smaller median throughput. */
  openShare: number;
  /** Names of peers, or beginnings of names. */
  peers: string[];
  /** Installs what is missing first. */
  install: boolean;
};

/** Rounds of Parley before all others that are not counted; a peer has one. */
const WARM_UP_ROUNDS = 3;

type SideName = "parley" | "peer";
type Rounds = Record<SideName, LoadFigures[]>;
export type MeasuredPeer = Pick<Peer, "name" | "title" | "settings" | "ack"> & {
  version: string;
  protocol: Protocol;
  rounds: Rounds;
  open: { ratePerSecond: number; rounds: Rounds };
  sent: number;
  /** Messages in the peer's archives afterwards; undefined where it has none. */
  stored?: number;
};
export type LeftOut = { name: string; title: string; why: string; remedy?: string };
export type MeasuredPeers = { peers: MeasuredPeer[]; leftOut: LeftOut[] };

type Side = { server: ServerProcess; load: LoadProcess };

export async function measurePeers(parameters: Parameters, context: BenchContext): Promise<MeasuredPeers> {
  const chosen = peersNamed(parameters.peers);
  if (parameters.install) await installMissing(chosen, context.interrupted);
  const { lines } = loadTexts(context.corpus);
  const measured: MeasuredPeers = { peers: [], leftOut: [] };
  const parley = await startParley(parameters, lines, context);
  let isInterrupted = false;
  context.interrupted.catch(() => (isInterrupted = true));
  for (const peer of chosen) {
    const leaveOut = (why: string, remedy?: string) => {
      measured.leftOut.push({ name: peer.name, title: peer.title, why, ...(remedy !== undefined && { remedy }) });
      context.progress.say(
        `LEFT OUT: ${peer.title}: ${why}${remedy === undefined ? "" : `; to change that: ${remedy}`}`,
      );
    };
    const missing = await peer.missing();
    if (missing !== undefined) {
      leaveOut(missing.why, remedyFor(missing));
      continue;
    }
    try {
      measured.peers.push(await measurePeer(peer, parley, lines, parameters, context));
    } catch (error) {
      if (isInterrupted || error instanceof ParleyFailure) throw error;
      leaveOut(`it failed: ${(error as Error).message}`);
    }
  }
  return measured;
}

async function startParley(parameters: Parameters, lines: string[], context: BenchContext): Promise<Side> {
  const server = await context.endLater(startParleyProcess([...UNLIMITED_SENDS, ...context.serveArguments]));
  const users = await provisionPairs(server, parameters.pairs, context.progress);
  const load = await context.endLater(startLoad("parley", server, users, lines));
  // Its code is compiled while it runs, which the first peer's rounds must not pay for.
  await load.closed({ ...parameters, measureMs: parameters.measureMs * WARM_UP_ROUNDS });
  return { server, load };
}

async function measurePeer(
  peer: Peer,
  parley: Side,
  lines: string[],
  parameters: Parameters,
  context: BenchContext,
): Promise<MeasuredPeer> {
  const { name, title, settings, ack } = peer;
  context.progress.phase(title, (parameters.rounds + parameters.openRounds) * 2);
  const server = await context.endLater(peer.start());
  try {
    const pairs = floorPairs(parameters.pairs);
    await server.register(usersOf(pairs));
    const load = await context.endLater(startLoad(title, server, pairs, lines));
    try {
      await load.closed(parameters);
      const rounds = await measureRounds(parley, { server, load }, parameters, context);
      const sent = await load.sent();
      const stored = await storedOf(server, usersOf(pairs), sent);
      const { protocol } = server;
      return { name, title, settings, ack, version: await peer.version(), protocol, ...rounds, sent, ...stored };
    } finally {
      await load.end();
    }
  } finally {
    await server.end();
  }
}

const usersOf = (pairs: LoadPair[]): string[] => pairs.flatMap(({ first, second }) => [first.user, second.user]);

async function measureRounds(parley: Side, peer: Side, parameters: Parameters, { progress }: BenchContext) {
  const sides = { parley, peer };
  const pids = [parley.server.pid, peer.server.pid];
  const turns = (rounds: number, measure: (load: LoadProcess) => Promise<LoadFigures>): Promise<Rounds> =>
    inTurns(["parley", "peer"], rounds, async (side) => {
      await untilQuiet(pids, parameters.quietMs);
      const measuring = measure(sides[side].load);
      const figures = await (side === "parley" ? measuring.catch(failParley) : measuring);
      progress.advance();
      return figures;
    });
  const rounds = await turns(parameters.rounds, (load) => load.closed(parameters));
  const slower = Math.min(rateOf(rounds.parley), rateOf(rounds.peer));
  const ratePerSecond = Math.max(1, Math.round(slower * parameters.openShare));
  const open = await turns(parameters.openRounds, (load) => load.open({ ...parameters, ratePerSecond }));
  return { rounds, open: { ratePerSecond, rounds: open } };
}

const rateOf = (rounds: LoadFigures[]): number => median(rounds.map(({ deliveredPerSecond }) => deliveredPerSecond));

/** A peer that fails is left out, but a failure of Parley fails the bench. */
class ParleyFailure extends Error {}

function failParley(error: Error): never {
  throw new ParleyFailure(error.message, { cause: error });
}

/** Without this check a peer whose archive is set up wrongly would be measured as if it had one. */
async function storedOf(server: PeerServer, users: string[], sent: number): Promise<{ stored?: number }> {
  const stored = await server.countStored?.(users);
  if (stored === undefined) return {};
  if (stored !== sent * server.copies)
    throw new Error(`${sent} messages were sent, and ${stored} are stored, not ${sent * server.copies}`);
  return { stored };
}
