/** docs/limits.md names a test for each limit, and an option that exists. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";

const ROOT = join(import.meta.dir, "../..");

const rows = (await Bun.file(join(ROOT, "docs/limits.md")).text())
  .split("\n")
  .filter((line) => line.startsWith("| ") && line.split("|").length === 8)
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  .filter(([what]) => what !== "what" && what !== "---");

const tests = await Promise.all(
  [...new Bun.Glob("test/**/*.test.ts").scanSync(ROOT)].map((path) => Bun.file(join(ROOT, path)).text()),
);

/** A describe stands before the name: `frames: …`. */
const nameOf = (cell: string): string => cell.replaceAll("`", "").replace(/^(frames|memory|connections|calls): /, "");

test("there are limits in it", () => expect(rows.length).toBeGreaterThan(35));

test.each(rows.map((row) => [row[0]!, row[2]!, row]))(
  "%s, per %s, has a test of the name that the table gives",
  (_what, _per, row) => {
    const name = nameOf(row.at(-1)!);
    expect(name).not.toBe("");
    expect([name, tests.some((text) => text.includes(`"${name}`))]).toEqual([name, true]);
  },
);

test.each(rows.map((row) => [row[0]!, row]))("%s: its options exist", (_what, row) => {
  const flags = [...row[4]!.matchAll(/--([a-z0-9-]+)/g)].map(([, flag]) => flag!);
  const known = Object.keys(SERVE_OPTIONS).map((name) =>
    name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
  );
  for (const flag of flags) expect(known).toContain(flag);
});
