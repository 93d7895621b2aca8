import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Difference, Inspection } from "../../scripts/torture/inspection.ts";
import { torture } from "../../scripts/torture/rounds.ts";
import { runProgram } from "../../scripts/testing/program.ts";
import { until } from "../support/wait.ts";
import { SEED } from "../support/seed.ts";

/** `npm run torture -- --rounds 200`, and more, by hand. */
const ROUNDS = 40;
const ROOT = join(import.meta.dir, "../..");

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "torture-test-"));
  mkdirSync(join(directory, "wal"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test(`after each of ${ROUNDS} kills with -9, all that was acknowledged is in the log store, and nothing in part`, async () => {
  const rounds: number[] = [];
  const result = await torture({ rounds: ROUNDS, seed: SEED, minutes: undefined }, (round) => void rounds.push(round));
  expect(result).toMatchObject({ seed: SEED, rounds: ROUNDS, failure: undefined });
  expect(result.acked).toBeGreaterThan(ROUNDS);
  expect(rounds.length).toBe(ROUNDS);
  expect(result.verified).toBe(ROUNDS + 1);
}, 200_000);

async function write(
  hasWritten = () => readdirSync(join(directory, "wal")).filter((name) => name.endsWith(".wal")).length > 1,
): Promise<Inspection> {
  const child = Bun.spawn([process.execPath, join(ROOT, "scripts/torture/writer.ts"), directory, "1", "1"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  await until("the writer has written", hasWritten);
  child.kill("SIGKILL");
  await child.exited;
  return new Inspection(1);
}

test("an acknowledged record that is missing is a difference", async () => {
  const inspection = await write();
  inspection.acked.set(7, 1_000_000);
  expect(await inspection.look(directory, true).catch((error: unknown) => error)).toBeInstanceOf(Difference);
});

test("a record that is not what was written is a difference", async () => {
  await write();
  expect(await new Inspection(2).look(directory, true).catch((error: unknown) => error)).toBeInstanceOf(Difference);
  await new Inspection(1).look(directory, true);
});

test("damage is a difference, whether or not a reader meets it", async () => {
  // Whole, and with something in it: a flush was made since it began.
  const states = (): string[] => [...new Bun.Glob("shards/*/state.db").scanSync(directory)];
  const inspection = await write(() => states().length > 3);
  await inspection.look(directory, true);
  await inspection.verify(directory);
  const images = states().map((state) => ({
    path: join(directory, state),
    bytes: readFileSync(join(directory, state)),
  }));
  const { path, bytes } = images.toSorted((a, b) => b.bytes.length - a.bytes.length)[0]!;
  writeFileSync(path, bytes.fill(255, bytes.length / 2));
  expect(await inspection.verify(directory).catch((error: unknown) => error)).toBeInstanceOf(Difference);
});

test("the program ends with one JSON line, and refuses what it does not understand", async () => {
  const program = join(ROOT, "scripts/torture.ts");
  const good = await runProgram(ROOT, [process.execPath, program, "--rounds", "2", "--seed", "5"]);
  const json = JSON.parse(good.output.trim().split("\n").at(-1)!) as unknown;
  expect([good.status, json]).toEqual([0, expect.objectContaining({ rounds: 2, seed: 5 })]);
  for (const words of [["--rounds", "many"], ["--rounds"], ["--colour"], ["file"]])
    expect((await runProgram(ROOT, [process.execPath, program, ...words])).status).toBe(2);
  expect((await runProgram(ROOT, [process.execPath, program, "--help"])).output).toStartWith("Usage: ");
});
