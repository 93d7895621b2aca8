/** Runs floods one after the other, each on a server of its own: a quiet stretch, then as long a flooded one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startParleyProcess, type ParleyProcess } from "../../bench/server-process.ts";
import type { Flood, FloodWorld } from "./floods.ts";
import { makePerson } from "./people.ts";
import { Victims, type Talk } from "./victims.ts";

export type FloodResult = {
  flood: string;
  quiet: Talk;
  flooded: Talk;
  p50Ratio: number;
  p99Ratio: number;
  /** Of the server: before the flood, and the most while it lasted. MiB. */
  memoryBeforeMb: number;
  memoryPeakMb: number;
  attacker: string;
};

/** Victims' latency under a flood, over that of the quiet stretch beside it. */
export const P50_RATIO_MAX = 3;
export const P99_RATIO_MAX = 5;

const MEMORY_EVERY_MS = 100;

export async function runFlood(flood: Flood, seconds: number, say: (what: string) => void): Promise<FloodResult> {
  const server = await startParleyProcess(["--log-level", "error"]);
  try {
    return await onServer(server, flood, seconds, say);
  } finally {
    await server.end();
  }
}

async function onServer(
  server: ParleyProcess,
  flood: Flood,
  seconds: number,
  say: (what: string) => void,
): Promise<FloodResult> {
  const { url, apiKey, pid } = server;
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
  say("quiet");
  const quiet = await victims.talk(seconds);
  const memoryBeforeMb = memoryMb(pid);
  say("flooded");
  const attack = startAttack(flood, world);
  let memoryPeakMb = 0;
  const watch = setInterval(() => (memoryPeakMb = Math.max(memoryPeakMb, memoryMb(pid))), MEMORY_EVERY_MS);
  const flooded = await victims.talk(seconds);
  clearInterval(watch);
  victims.close();
  return {
    flood: flood.name,
    quiet,
    flooded,
    p50Ratio: flooded.p50Ms / quiet.p50Ms,
    p99Ratio: flooded.p99Ms / quiet.p99Ms,
    memoryBeforeMb,
    memoryPeakMb,
    attacker: await attack.end(),
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
