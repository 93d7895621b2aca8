/**
 * Rounds of a torture: start a writer, kill it with -9 at a time drawn from the seed, verify what it left, check that
 * everything holds, continue with the same directory.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomOf } from "./content.ts";
import { Difference, Inspection } from "./inspection.ts";

const WRITER = join(import.meta.dir, "writer.ts");
const WHOLE_EVERY = 25;
/** Share of kills during the writer's start: in recovery or before it. */
const EARLY_SHARE = 0.2;
const EARLY_MS_MAX = 150;
const ACKS_MAX = 600;
const ROUND_MS_MAX = 60_000;

export type TortureOptions = { rounds: number; seed: number; minutes: number | undefined };

export type TortureResult = {
  rounds: number;
  seed: number;
  seconds: number;
  msPerRound: number;
  acked: number;
  /** Records that were there although they were not acknowledged yet. */
  unacked: number;
  killedEarly: number;
  tornTails: number;
  /** How often `verify` found nothing wrong: after each kill, and once after the last close. */
  verified: number;
  /** Undefined when everything held. */
  failure: { round: number; what: string; directory: string } | undefined;
};

export async function torture(
  options: TortureOptions,
  progress: (round: number, note: string) => void,
): Promise<TortureResult> {
  const { seed, rounds } = options;
  const directory = mkdtempSync(join(tmpdir(), "parley-torture-"));
  mkdirSync(join(directory, "wal"));
  const startedAt = performance.now();
  const seconds = (): number => (performance.now() - startedAt) / 1000;
  const random = randomOf(seed, -1);
  const inspection = new Inspection(seed);
  const result: TortureResult = {
    rounds: 0,
    seed,
    seconds: 0,
    msPerRound: 0,
    acked: 0,
    unacked: 0,
    killedEarly: 0,
    tornTails: 0,
    verified: 0,
    failure: undefined,
  };
  for (let round = 1; round <= rounds && (options.minutes === undefined || seconds() < options.minutes * 60); round++) {
    try {
      await oneRound(directory, round, round === rounds || round % WHOLE_EVERY === 0, random, inspection, result);
      if (round === rounds) await verify(directory, inspection, result);
    } catch (error) {
      const what = error instanceof Difference ? error.message : String((error as Error).stack);
      result.failure = { round, what, directory };
      break;
    }
    result.rounds = round;
    progress(round, `${inspection.entries} records`);
  }
  result.seconds = Math.round(seconds() * 10) / 10;
  result.msPerRound = Math.round((seconds() * 1000) / Math.max(1, result.rounds));
  if (result.failure === undefined) rmSync(directory, { recursive: true, force: true });
  return result;
}

async function oneRound(
  directory: string,
  round: number,
  isWhole: boolean,
  random: () => number,
  inspection: Inspection,
  result: TortureResult,
): Promise<void> {
  const isEarly = random() < EARLY_SHARE;
  const acked = await writeUntilKilled(directory, inspection, [`${result.seed}`, `${round}`], {
    afterMs: isEarly ? random() * EARLY_MS_MAX : undefined,
    afterAcks: 1 + Math.floor(random() * ACKS_MAX),
  });
  result.acked += acked;
  if (isEarly) result.killedEarly++;
  await verify(directory, inspection, result);
  const told = total(inspection);
  const { tornBytes } = await inspection.look(directory, isWhole);
  result.unacked += total(inspection) - told;
  if (tornBytes > 0) result.tornTails++;
}

async function verify(directory: string, inspection: Inspection, result: TortureResult): Promise<void> {
  await inspection.verify(directory);
  result.verified++;
}

const total = ({ acked }: Inspection): number => [...acked.values()].reduce((sum, through) => sum + through, 0);

type Kill = { afterMs: number | undefined; afterAcks: number };

/** @returns how many records were acknowledged */
async function writeUntilKilled(
  directory: string,
  inspection: Inspection,
  words: string[],
  kill: Kill,
): Promise<number> {
  const child = Bun.spawn([process.execPath, WRITER, directory, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const errors = new Response(child.stderr).text();
  const timer = setTimeout(() => child.kill("SIGKILL"), kill.afterMs ?? ROUND_MS_MAX);
  let acks = 0;
  for await (const line of linesOf(child.stdout)) {
    if (line === "ready") continue;
    const [shard, offset] = line.split(" ").map(Number);
    if (offset! > (inspection.acked.get(shard!) ?? 0)) inspection.acked.set(shard!, offset!);
    if (++acks === kill.afterAcks && kill.afterMs === undefined) child.kill("SIGKILL");
  }
  await child.exited;
  clearTimeout(timer);
  if (child.signalCode !== "SIGKILL") throw new Error(`the writer ended by itself: ${(await errors).slice(-2000)}`);
  return acks;
}

/** Only whole lines: a line that a kill cut off does not count. */
async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
