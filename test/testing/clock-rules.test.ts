import { expect, test } from "bun:test";
import { join } from "node:path";
import { ALLOWED, clockViolations } from "../../scripts/testing/clock-rules.ts";
import { timedFiles } from "../../scripts/testing/checks.ts";

const ROOT = join(import.meta.dir, "../..");
const violations = (text: string, allowed = [{ path: "src/a.ts", code: "clock.now()", why: "" }]) =>
  clockViolations([{ path: "src/a.ts", text }], allowed);

test("only listed code reads the wall clock, or compares its times", async () => {
  expect(clockViolations(await timedFiles(ROOT))).toEqual([]);
});

test("every use that is allowed has a reason", () => {
  expect(ALLOWED.filter(({ why }) => why === "")).toEqual([]);
});

test.each([
  "const at = this.clock.now();",
  "const at = Date.now();",
  "const at = new Date();",
  "const read = clock.now;",
  "const { mtimeMs } = statSync(path);",
  "if (message.sentAt > other.sentAt) return;",
  "list.sort((a, b) => a.at - b.at);",
  "list.sort((a, b) => b.createdAt - a.createdAt);",
  "const age = now - cell.createdAt;",
  "if (clock.monotonicMs() - status.finishedAt < REST_MS) return;",
  "const newest = Math.max(one.sentAt, other.sentAt);",
  "const until = sentAt + MINUTE_MS;",
])("%s is refused", (line) => {
  expect(violations(line, [])).toHaveLength(1);
});

test.each([
  "const at = clock.monotonicMs();",
  "const began = performance.now();",
  "// Date.now() in a comment, on a line of its own",
  "const { sentAt, text } = message;",
  "return { id, from, sentAt: message.sentAt };",
  "const update = dated;",
  "list.sort((a, b) => a.rank - b.rank);",
])("%s is nobody's business", (line) => {
  expect(violations(line, [])).toEqual([]);
});

test("a use is allowed only in its file, and an allowed use that no longer exists is reported", () => {
  expect(violations("const at = clock.now();")).toEqual([]);
  const elsewhere = { path: "src/b.ts", text: "const at = clock.now();" };
  const allowed = [{ path: "src/a.ts", code: "clock.now()", why: "" }];
  expect(clockViolations([elsewhere], allowed)).toEqual([expect.stringContaining("src/b.ts:1: reads the wall clock")]);
  expect(violations("const at = 5;")).toEqual(["src/a.ts: clock-rules.ts allows clock.now(), which is not there"]);
});
