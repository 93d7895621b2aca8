import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../scripts/testing/run.ts";
import { countsOf, runTestFile } from "../../scripts/testing/test-file.ts";

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

test("an exit status that belies the summary counts as a failure", () => {
  expect(countsOf("\n 3 pass\n 0 fail\nRan 3 tests across 1 file. [1.00ms]\n", 1)).toMatchObject({
    passed: 3,
    failed: 1,
  });
});

describe("a run", () => {
  async function runAll(...paths: string[]): Promise<{ status: number; lines: string[] }> {
    let printed = "";
    const status = await run(root, { checks: false, paths }, (text) => void (printed += text));
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
    expect(await runAll("nothing-like-it")).toMatchObject({ status: 1 });
    expect(await runAll("test/a")).toMatchObject({ status: 0 });
  });
});
