/**
 * Runs floods one after the other, each on its own server. Quiet and flooded stretches alternate, so that disturbances
 * by the machine's disk hit both. The medians over the rounds count.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { rangeOf, type Range } from "../../bench/measure/ranges.ts";
import { startParleyProcess, type ParleyProcess } from "../../bench/servers/server-process.ts";
import type { Flood, FloodWorld } from "./floods.ts";
import { makePerson } from "./people.ts";
import { Victims, type Talk } from "./victims.ts";

export type FloodResult = {
  flood: string;
  /** One for each round. */
  quiet: Talk[];
  flooded: Talk[];
  /** Victims' latency under the flood, over that of the quiet stretch before it. */
  p50Ratio: Range;
  p99Ratio: Range;
  /** The server's memory before the flood, and its peak during it, MiB. */
  memoryBeforeMb: number;
  memoryPeakMb: number;
  attacker: string;
};

/** Limits of the medians over the rounds. */
export const P50_RATIO_MAX = 3;
export const P99_RATIO_MAX = 5;
export const ROUNDS = 5;

const MEMORY_EVERY_MS = 100;

/** @param seconds total of the quiet stretches, and of the flooded ones */
export async function runFlood(flood: Flood, seconds: number, say: (what: string) => void): Promise<FloodResult> {
  const server = await startParleyProcess(["--log-level", "error"]);
  try {
    return await onServer(server, flood, seconds / ROUNDS, say);
  } finally {
    await server.end();
  }
}

async function onServer(
  { url, apiKey, pid }: ParleyProcess,
  flood: Flood,
  roundSeconds: number,
  say: (what: string) => void,
): Promise<FloodResult> {
  const attacker = await makePerson(url, apiKey, "attacker");
  const world: FloodWorld = { url, apiKey, attacker };
  say("prepared");
  await flood.prepare?.(world);
  const victims = await Victims.connect(
    url,
    await makePerson(url, apiKey, "victim-one"),
    await makePerson(url, apiKey, "victim-two"),
  );
  await victims.talk(2);
  const memoryBeforeMb = memoryMb(pid);
  const rounds: Round[] = [];
  for (let at = 0; at < ROUNDS; at++) {
    say(`round ${at + 1} of ${ROUNDS}`);
    rounds.push(await measureRound(victims, flood, world, pid, roundSeconds));
  }
  victims.close();
  return { flood: flood.name, memoryBeforeMb, ...overRounds(rounds) };
}

type Round = { quiet: Talk; flooded: Talk; memoryPeakMb: number; attacker: string };

async function measureRound(
  victims: Victims,
  flood: Flood,
  world: FloodWorld,
  pid: number,
  seconds: number,
): Promise<Round> {
  const quiet = await victims.talk(seconds);
  const attack = startAttack(flood, world);
  let memoryPeakMb = 0;
  const watch = setInterval(() => (memoryPeakMb = Math.max(memoryPeakMb, memoryMb(pid))), MEMORY_EVERY_MS);
  const flooded = await victims.talk(seconds);
  clearInterval(watch);
  return { quiet, flooded, memoryPeakMb, attacker: await attack.end() };
}

function overRounds(rounds: Round[]): Omit<FloodResult, "flood" | "memoryBeforeMb"> {
  return {
    quiet: rounds.map(({ quiet }) => quiet),
    flooded: rounds.map(({ flooded }) => flooded),
    p50Ratio: rangeOf(rounds.map(({ quiet, flooded }) => flooded.p50Ms / quiet.p50Ms)),
    p99Ratio: rangeOf(rounds.map(({ quiet, flooded }) => flooded.p99Ms / quiet.p99Ms)),
    memoryPeakMb: Math.max(...rounds.map(({ memoryPeakMb }) => memoryPeakMb)),
    attacker: `${rounds.at(-1)!.attacker}, in the last round`,
  };
}

function startAttack(flood: Flood, world: FloodWorld): { end(): Promise<string> } {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "attacker.ts"), flood.name, JSON.stringify(world)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const said = new Response(child.stdout).text();
  return {
    async end() {
      await child.stdin.end();
      const killer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      await child.exited;
      clearTimeout(killer);
      return said;
    },
  };
}

function memoryMb(pid: number): number {
  const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kb) / 1024;
}
