/** The program: exit statuses, what it prints, and files that are no histories. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram, type Outcome } from "../../scripts/testing/program.ts";

const ROOT = join(import.meta.dir, "../..");
const directory = mkdtempSync(join(tmpdir(), "parley-history-"));
afterAll(() => rmSync(directory, { recursive: true }));

const HEADER = '{"history":1,"order":"total","isComplete":true}';
const OPEN = '{"is":"open","c":1,"user":"ann","device":"d"}';
const WELCOME = '{"is":"in","c":1,"frame":{"t":"welcome","user":"ann","epoch":"e","timeline":4,"groups":{}}}';
const END = '{"is":"end","settled":true}';
const entry = (seq: number, id: string): string =>
  `{"is":"in","c":1,"frame":{"t":"membership","conversation":"#g","change":"left","groupSeq":1,"epoch":"","id":"${id}","seq":${seq}}}`;

async function checkHistory(text: string, ...args: string[]): Promise<Outcome> {
  const file = join(directory, "history.jsonl");
  writeFileSync(file, text);
  return run(file, ...args);
}
const run = (...args: string[]): Promise<Outcome> =>
  runProgram(ROOT, [process.execPath, "scripts/check-history.ts", ...args]);

const lines = (...all: string[]): string => all.map((line) => `${line}\n`).join("");

test("a good history: 0, and how much was checked", async () => {
  const { status, output } = await checkHistory(lines(HEADER, OPEN, WELCOME, entry(5, "a"), END));
  expect(status).toBe(0);
  expect(output).toContain("5 lines, 1 users, 1 connections");
  expect(output).toContain("history.jsonl: nothing found\n");
});

test("a broken guarantee: 1, its name, what is wrong, and the lines; also as JSON", async () => {
  const text = lines(HEADER, OPEN, WELCOME, entry(5, "a"), entry(5, "a"), END);
  const { status, output } = await checkHistory(text);
  expect(status).toBe(1);
  expect(output).toContain("G4  ann's device d got seq 5 of @ann when it had entries up to 5\n    lines 2, 5\n");
  expect(output).toContain("broken: G4 1 times");
  const asJson = await checkHistory(text, "--json");
  expect(asJson.status).toBe(1);
  expect(JSON.parse(asJson.output)).toMatchObject({
    found: 1,
    settled: true,
    counts: { G1: 0, G4: 1 },
    violations: [{ guarantee: "G4", lines: [2, 5] }],
    checked: { lines: 6 },
  });
});

test.each([
  ["an empty file", "", "line 1: the file is empty, expected the header of a history"],
  ["no header", lines(OPEN), 'line 1: is not the header of a history, expected {"history":1,…}'],
  ["a later format", lines('{"history":2}'), "line 1: format 2; this program reads 1"],
  ["no order", lines('{"history":1}'), 'line 1: order: nothing is not "total" or "clients"'],
  ["no JSON", lines(HEADER, "{"), 'line 2: is not JSON: "{"'],
  ["another kind", lines(HEADER, '{"is":"toString"}'), 'line 2: is: "toString" is not one of open, out, in,'],
  ["a missing field", lines(HEADER, '{"is":"open","c":1,"user":"ann"}'), "line 2: device: nothing is not a text"],
  ["a connection that was not opened", lines(HEADER, WELCOME, END), "line 2: connection 1 is not open"],
  ["a connection twice", lines(HEADER, OPEN, OPEN), "line 3: connection 1 was opened before"],
  ["an answer to nothing", lines(HEADER, '{"is":"lost","call":3}'), "line 2: call 3 waits for no answer"],
  ["no end", lines(HEADER, OPEN), 'line 3: the history ends without an "end"; --partial checks what is there'],
  ["a cut line", lines(HEADER, OPEN) + WELCOME.slice(0, 9), "line 3: is cut off"],
  ["more behind the end", lines(HEADER, END, OPEN), 'line 3: stands behind the "end"'],
])("%s: 2, and the line", async (_, text, problem) => {
  const { status, stderr } = await checkHistory(text);
  expect(stderr).toContain(`check-history: ${problem}`);
  expect(status).toBe(2);
});

test("--partial takes a history that was cut off, as one that is not settled", async () => {
  const text = lines(HEADER, OPEN, WELCOME) + entry(5, "a").slice(0, 20);
  const { status, output } = await checkHistory(text, "--partial");
  expect(output).toContain("nothing found; not settled, so what had to come in the end is not decided\n");
  expect(status).toBe(0);
});

test("no file, two files, a file that is not there and an unknown option are refused with 2", async () => {
  for (const args of [[], ["a", "b"], [join(directory, "nothing")], ["--loud"]]) {
    const { status, stderr } = await run(...args);
    expect(stderr).toMatch(/^check-history: .+\n$/);
    expect(status).toBe(2);
  }
  const { status, output } = await run("--help");
  expect(output).toContain("Usage: npm run check-history -- FILE [options]");
  expect(status).toBe(0);
});
