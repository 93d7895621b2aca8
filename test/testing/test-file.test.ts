import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../scripts/testing/run.ts";
import { ALONE, SLOWEST, slowFirst } from "../../scripts/testing/slow-first.ts";
import { countsOf, runTestFile } from "../../scripts/testing/test-file.ts";
import { isAlive, ROOT } from "../cli/processes.ts";
import { until } from "../support/wait.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "parley-testing-"));
  mkdirSync(join(root, "test"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const PASSES = 'test("passes", () => expect(1).toBe(1));\n';
const FAILS = 'test("fails", () => expect(1).toBe(2));\n';

function write(file: string, body: string): void {
  writeFileSync(join(root, file), `import { expect, test } from "bun:test";\n${body}`);
}

async function countsOfFile(body: string) {
  write("test/a.test.ts", body);
  const { passed, failed, skipped } = await runTestFile(root, "test/a.test.ts");
  return { passed, failed, skipped };
}

describe("the counts of a file are true when", () => {
  const cases: [string, string, { passed: number; failed: number; skipped: number }][] = [
    ["all pass", PASSES, { passed: 1, failed: 0, skipped: 0 }],
    ["one fails", PASSES + FAILS, { passed: 1, failed: 1, skipped: 0 }],
    [
      "one is skipped, one is to do",
      `${PASSES}test.skip("s", () => {});\ntest.todo("t");\n`,
      { passed: 1, failed: 0, skipped: 2 },
    ],
    ["it cannot be loaded", `import "./missing.ts";\n${PASSES}`, { passed: 0, failed: 1, skipped: 0 }],
    ["it has no tests", "", { passed: 0, failed: 1, skipped: 0 }],
    [
      "a test ends the process as if all were well",
      `test("x", () => process.exit(0));\n${PASSES}`,
      { passed: 0, failed: 1, skipped: 0 },
    ],
    [
      "a test kills the process",
      `test("x", () => process.kill(process.pid, "SIGKILL"));\n`,
      { passed: 0, failed: 1, skipped: 0 },
    ],
    [
      "a test prints what looks like a summary",
      `console.error("\\n 5 pass\\n 0 fail\\nRan 5 tests across 1 file.");\n${FAILS}`,
      { passed: 0, failed: 1, skipped: 0 },
    ],
  ];
  test.each(cases)("%s", async (_name, body, counts) => {
    expect(await countsOfFile(body)).toEqual(counts);
  });
});

test("an exit status that contradicts the summary counts as a failure", () => {
  expect(countsOf("\n 3 pass\n 0 fail\nRan 3 tests across 1 file. [1.00ms]\n", 1)).toMatchObject({
    passed: 3,
    failed: 1,
  });
});

test("the files that take longest start first, the others by name, and each runs once", () => {
  const [slowest, second] = SLOWEST;
  const files = ["a.test.ts", second!, "z.test.ts", slowest!];
  expect(slowFirst(files)).toEqual([slowest!, second!, "a.test.ts", "z.test.ts"]);
  expect([...ALONE, ...SLOWEST].filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
});

describe("a run", () => {
  async function runAll(what: { paths?: string[]; fileTimeoutMs?: number } = {}) {
    let printed = "";
    const status = await run(root, { checks: false, paths: [], ...what }, (text) => void (printed += text));
    return { status, lines: printed.trimEnd().split("\n") };
  }

  test("ends with the counts over all files, and fails when one test did", async () => {
    write("test/a.test.ts", PASSES + PASSES.replace("passes", "too"));
    write("test/b.test.ts", PASSES + FAILS);
    const { status, lines } = await runAll();
    expect(status).toBe(1);
    expect(lines.at(-1)).toBe("3 passed, 1 failed");
    expect(lines.join("\n")).toContain("expect(received).toBe(expected)");
  });

  test("finds tests outside test/ too", async () => {
    mkdirSync(join(root, "src/deep"), { recursive: true });
    write("src/deep/a.test.ts", PASSES);
    expect(await runAll()).toMatchObject({
      status: 0,
      lines: [expect.stringContaining("src/deep/a.test.ts"), "1 passed, 0 failed"],
    });
  });

  test("tells of skipped tests only when there are any", async () => {
    write("test/a.test.ts", `${PASSES}test.skip("s", () => {});\n`);
    expect((await runAll()).lines.at(-1)).toBe("1 passed, 0 failed, 1 skipped");
  });

  test("that finds no test fails", async () => {
    write("test/a.test.ts", PASSES);
    expect(await runAll({ paths: ["nothing-like-it"] })).toMatchObject({ status: 1 });
    expect(await runAll({ paths: ["test/a"] })).toMatchObject({ status: 0 });
  });

  test("kills a file that does not end, and what it started, says so loudly, and goes on with the others", async () => {
    const pidFile = join(root, "pid");
    const hangs = `
      import { writeFileSync } from "node:fs";
      test("comes before", () => {});
      test("hangs", () => {
        writeFileSync(${JSON.stringify(pidFile)}, String(Bun.spawn(["sleep", "600"]).pid));
        Bun.sleepSync(600_000);
      });`;
    write("test/a.test.ts", hangs);
    write("test/b.test.ts", PASSES);
    const { status, lines } = await runAll({ fileTimeoutMs: 3000 });
    expect(status).toBe(1);
    const line = lines.find((text) => text.startsWith("FAIL  test/a.test.ts"));
    expect(line).toMatch(/0 passed, 1 failed, \d+\.\d s, KILLED because it did not end$/);
    expect(lines.join("\n")).toContain("(pass) comes before");
    expect(lines.at(-1)).toBe("1 passed, 1 failed");
    const pid = Number(readFileSync(pidFile, "utf8"));
    await until("what it started is gone", () => !isAlive(pid));
  });
});
