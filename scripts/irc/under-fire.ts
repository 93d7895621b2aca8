/** The import while its server is killed with -9 at times drawn from a seed, and restarted each time. */
import type { ProgressOutput } from "../../src/cli/progress-bar.ts";
import { FiredServer } from "./fired-server.ts";
import { IMPORT_PHASES, runImport, type ImportPhase, type ImportResult } from "./import.ts";
import type { RunOptions } from "./options.ts";
import type { Plan } from "./plan.ts";

/** Weight of each phase for the times of kills: mostly while messages are in flight, sometimes before and after. */
const WEIGHTS: Record<ImportPhase, number> = {
  users: 8,
  groups: 4,
  sockets: 4,
  messages: 64,
  delivery: 4,
  "check: history": 8,
  "check: devices": 8,
};

export type UnderFireOptions = Omit<RunOptions, "url"> & {
  kills: number;
  seed: number;
  withPasswords: boolean;
};
export type UnderFireResult = ImportResult & {
  kills: number;
  seed: number;
  /** Where in the import each kill fell. */
  killedAt: string[];
  /** Seconds from each start of the server to its line "listening on". */
  startSeconds: number[];
};

/**
 * Ends its server also when `interrupted` rejects. @throws when fewer kills than requested happened, which would prove
 * less than the result claims
 */
export async function importUnderFire(
  plan: Plan,
  options: UnderFireOptions,
  output: ProgressOutput,
  interrupted: Promise<never> = new Promise(() => {}),
): Promise<UnderFireResult> {
  const server = await FiredServer.start();
  try {
    const apiKey = options.withPasswords ? undefined : server.apiKey;
    const moments = drawMoments(options.kills, options.seed);
    const killedAt: string[] = [];
    const onProgress = (phase: ImportPhase, done: number, total: number) => {
      // One kill for each time that has passed: a small import can pass several at once.
      for (const next = placeOf(phase, done, total); moments.length > 0 && (moments[0] ?? 1) <= next; moments.shift()) {
        killedAt.push(`${phase} ${done}/${total}`);
        server.killAndRestart();
      }
    };
    const result = await Promise.race([
      runImport(plan, { ...options, url: server.url, apiKey }, output, { onProgress }),
      server.failed,
      interrupted,
    ]);
    if (server.kills !== options.kills)
      throw new Error(`${server.kills} of ${options.kills} kills happened; the import was too short for them`);
    return { ...result, kills: server.kills, seed: options.seed, killedAt, startSeconds: server.startSeconds };
  } finally {
    await server.end();
  }
}

/** Ascending numbers in [0, 1), the same for the same seed. */
export function drawMoments(count: number, seed: number): number[] {
  let state = seed >>> 0;
  const random = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return Array.from({ length: count }, random).toSorted((a, b) => a - b);
}

/** Progress of the whole import, from 0 to 1. */
export function placeOf(phase: ImportPhase, done: number, total: number): number {
  const phases = IMPORT_PHASES;
  const all = phases.reduce((sum, name) => sum + WEIGHTS[name], 0);
  const before = phases.slice(0, phases.indexOf(phase)).reduce((sum, name) => sum + WEIGHTS[name], 0);
  return (before + WEIGHTS[phase] * Math.min(1, total === 0 ? 1 : done / total)) / all;
}
