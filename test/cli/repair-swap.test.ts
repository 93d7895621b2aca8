/** A repaired copy takes the place of the directory, whatever kills it on the way. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { lockDataDirectory } from "../../src/cli/data-directory.ts";
import { exchangeNames } from "../../src/cli/exchange-names.ts";
import { finishSwap, swapInPlace } from "../../src/cli/repair-swap.ts";
import { BUN, MAIN, run, temporaryDirectory } from "./processes.ts";

const PROGRAM = join(import.meta.dir, "programs/killed-swap.ts");
let place: ReturnType<typeof temporaryDirectory>;
let source: string;
let copy: string;
beforeEach(() => {
  place = temporaryDirectory();
  source = join(place.path, "data");
  copy = `${source}.repair-unfinished`;
  made(source, "damaged");
  made(copy, "whole");
});
afterEach(() => place.remove());

function made(path: string, what: string): void {
  fs.mkdirSync(path);
  fs.writeFileSync(join(path, "what"), what);
}
const whatIsAt = (path: string): string => fs.readFileSync(join(path, "what"), "utf8");
const names = (): string[] => fs.readdirSync(place.path).toSorted();

describe.each([
  ["one", 5],
  ["two", 5],
])("with names that are changed in %s step", (how, steps) => {
  for (let step = 1; step <= steps; step++) {
    test(`killed behind change ${step} of ${steps}: the next run finishes or begins anew, and both directories are whole`, async () => {
      expect((await run([BUN, PROGRAM, source, copy, String(step), how])).status).not.toBe(0);
      const finished = finishSwap(source);
      if (finished === undefined && whatIsAt(source) === "damaged") {
        if (!fs.existsSync(copy)) made(copy, "whole");
        swapInPlace(source, copy, "report");
      }
      expect([whatIsAt(source), whatIsAt(`${source}.damaged`)]).toEqual(["whole", "damaged"]);
      expect(names()).toEqual(["data", "data.damaged"]);
    });
  }
});

test("when names can be exchanged there is a directory of the name at every step", async () => {
  for (let step = 1; step <= 5; step++) {
    await run([BUN, PROGRAM, source, copy, String(step), "one"]);
    expect(fs.existsSync(join(source, "what"))).toBe(true);
    place.remove();
    fs.mkdirSync(place.path);
    made(source, "damaged");
    made(copy, "whole");
  }
});

test("while the directory is missing no server makes an empty one in its place", async () => {
  await run([BUN, PROGRAM, source, copy, "3", "two"]);
  expect(fs.existsSync(source)).toBe(false);
  expect(() => lockDataDirectory(source)).toThrow("was cut short");
  expect(fs.existsSync(source)).toBe(false);
});

test.each(["data", "link"])("the command finishes what a kill left, asked by the name %s", async (name) => {
  fs.symlinkSync(source, join(place.path, "link"));
  await run([BUN, PROGRAM, source, copy, "3", "two"]);
  const { status, stdout } = await run([BUN, MAIN, "repair", "--in-place", "--data", join(place.path, name)]);
  expect([status, stdout]).toEqual([0, expect.stringContaining("a repair that was cut short is finished")]);
  expect(stdout).toContain(`the damaged directory: ${source}.damaged`);
  expect([whatIsAt(source), whatIsAt(`${source}.damaged`)]).toEqual(["whole", "damaged"]);
});

test("a directory that appeared meanwhile is left alone, and so are the two others", async () => {
  await run([BUN, PROGRAM, source, copy, "3", "two"]);
  made(source, "from a backup");
  expect(() => finishSwap(source)).toThrow("were moved afterwards");
  expect([source, `${source}.damaged`, `${source}.repair-done`].map(whatIsAt)).toEqual([
    "from a backup",
    "damaged",
    "whole",
  ]);
});

test("a copy that another repair holds is not removed", async () => {
  await run([BUN, PROGRAM, source, copy, "2", "one"]);
  const held = lockDataDirectory(`${source}.repair-done`);
  expect(() => finishSwap(source)).toThrow("in use");
  held.release();
  expect(whatIsAt(`${source}.repair-done`)).toBe("whole");
});

test("names are not exchanged where one is missing", () => {
  expect(() => exchangeNames(source, join(place.path, "nothing"))).toThrow("ENOENT");
  expect(whatIsAt(source)).toBe("damaged");
});
