/** Histories of real servers, under random people: nothing is found in them. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Report } from "../../scripts/history/checker/check.ts";
import { runProgram } from "../../scripts/testing/program.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { startTestNode } from "../support/test-node.ts";
import { TestProcess } from "../support/test-process.ts";
import { check, textSink } from "./histories.ts";
import { GROUPS, Talk, type Served } from "./talk.ts";

const ROOT = join(import.meta.dir, "../..");
const TEST_TIMEOUT_MS = 60_000;
const STEPS = 800;
const KILLS = 4;
/**
 * This file runs itself over a faulty router, without groups: a node's own mirrors of groups expect a reliable router, and
 * show an author's post to others before its `sent`.
 */
const IS_FAULTY = process.env["FAULTY_ROUTER"] !== undefined;
/** Few, so that a device that was away for some time gets a `gap`. */
const RESUME_ENTRIES_MAX = 50;

test("people come, go and lose connections, and the server is started again", async () => {
  const node = await startTestNode({ resumeEntriesMax: RESUME_ENTRIES_MAX });
  try {
    const report = await talked(node, async (step) => {
      if (step === STEPS / 2) await node.restart();
    });
    expect(report.checked["gaps"]).toBeGreaterThan(0);
  } finally {
    await node.stop();
  }
});

test.skipIf(IS_FAULTY)("the server is killed with -9 while people talk, and started again on its data", async () => {
  const server = await TestProcess.start("--resume-entries-max", String(RESUME_ENTRIES_MAX));
  try {
    const every = Math.floor(STEPS / (KILLS + 1));
    const report = await talked(server, async (step, random) => {
      if (step % every !== every - 1 || step > every * KILLS) return;
      await server.kill();
      // Some talk to nobody for a while.
      if (random() < 0.5) await Bun.sleep(5);
      await server.start();
    });
    expect(report.checked["resumes"]).toBeGreaterThan(KILLS * 6);
  } finally {
    await server.remove();
  }
});

test.skipIf(IS_FAULTY)("people come, go and lose connections, and shards talk over a faulty router", async () => {
  const command = [process.execPath, "test", "./test/history/recorded.test.ts", `--timeout=${TEST_TIMEOUT_MS}`];
  const env = { FAULTY_ROUTER: String(SEED), SEED: String(SEED) };
  const { status, output } = await runProgram(ROOT, command, { env });
  expect(output).toContain(" 1 pass");
  expect(status).toBe(0);
});

/** @param between is called after each step */
async function talked(server: Served, between: (step: number, random: Random) => Promise<void>): Promise<Report> {
  const random = randomFrom(SEED);
  const sink = textSink();
  const talk = new Talk(server, random, sink, { seed: SEED }, IS_FAULTY ? [] : GROUPS);
  try {
    await talk.begin();
    for (let step = 0; step < STEPS; step++) {
      await talk.step();
      await between(step, random);
    }
    await talk.end();
  } finally {
    await talk.close();
  }
  const report = await check(sink.text());
  if (report.found > 0) await keep(sink.text());
  expect(report.violations).toEqual([]);
  expect(report).toMatchObject({ found: 0, settled: true });
  expect(report.checked["acked"]).toBeGreaterThan(STEPS / 2);
  return report;
}

/** So that lines can be looked up. */
async function keep(text: string): Promise<void> {
  const path = `${process.env["TMPDIR"] ?? "/tmp"}/parley-history-${SEED}.jsonl`;
  await Bun.write(path, text);
  console.error(`the history is in ${path}`);
}
