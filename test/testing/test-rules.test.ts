/** What every test file keeps to, so that it passes on any machine, however busy, and a failure can be had again. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../cli/processes.ts";

const THIS = "test/testing/test-rules.test.ts";
const files = [...new Bun.Glob("test/**/*.ts").scanSync(ROOT)].filter((path) => path !== THIS).toSorted();
const sources = files.map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));

const filesWith = (pattern: RegExp): string[] =>
  sources.flatMap(({ path, text }) => (pattern.test(text) ? [path] : []));

test("what a test draws at random comes from a seed that is printed and replays", () => {
  // The seed itself, and refs that only have to differ.
  expect(filesWith(/Math\.random/)).toEqual(["test/support/device.ts", "test/support/seed.ts"]);
  const unseeded = sources.filter(({ text }) => /fc\.assert/.test(text) && !/seeded\(|\bSEED\b/.test(text));
  expect(unseeded.map(({ path }) => path)).toEqual([]);
});

test("no test listens on a port of its choice: two runs on one machine would meet", () => {
  // Where options are parsed nobody listens.
  expect(filesWith(/port: [1-9]\d*\b|"--port", "[1-9]/)).toEqual(["test/cli/options.test.ts"]);
});

test("no test sleeps for a guessed time: it waits for the condition, or owns the clock", () => {
  const longSleeps = /(?:Bun\.)?sleep\((?!(?:0|1|5)\))/;
  expect(filesWith(longSleeps)).toEqual([
    // Looks again after a moment, until a condition holds.
    "test/cli/processes.ts",
    // A server whose drain takes as long as the test says.
    "test/cli/programs/serve-little.ts",
    // Waits as long as the server has said.
    "test/session/session.test.ts",
    "test/support/wait.ts",
  ]);
});
