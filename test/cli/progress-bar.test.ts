import { expect, test } from "bun:test";
import { formatProgress, ProgressBar } from "../../src/cli/progress-bar.ts";

test("a bar shows share, rate and the time left, within the columns", () => {
  const line = formatProgress({ name: "messages", done: 50, total: 200, seconds: 10, note: "" }, 100);
  expect(line).toContain("25%");
  expect(line).toContain("50/200");
  expect(line).toContain("5.0/s");
  expect(line).toContain("0:30 left");
  expect(line.length).toBeLessThan(100);
  expect(formatProgress({ name: "messages", done: 50, total: 200, seconds: 10, note: "" }, 20).length).toBeLessThan(20);
});

function recorded(isTerminal: boolean) {
  let text = "";
  let now = 0;
  const output = { isTerminal, columns: 80, write: (more: string) => void (text += more) };
  const bar = new ProgressBar("users", 100, output, () => now);
  return { bar, text: () => text, pass: (ms: number) => void (now += ms) };
}

test("on a terminal it redraws one line and keeps the last state", () => {
  const { bar, text, pass } = recorded(true);
  for (let at = 0; at < 100; at++) {
    bar.advance();
    pass(20);
  }
  bar.finish();
  expect(text().split("\n").length).toBe(2);
  expect(text().split("\r").length).toBeLessThan(30);
  expect(text().split("\r").at(-1)).toContain("100/100");
});

test("elsewhere it writes a plain line now and then, without control characters", () => {
  const { bar, text, pass } = recorded(false);
  for (let at = 0; at < 100; at++) {
    bar.advance();
    pass(100);
  }
  bar.phase("messages", 5);
  bar.finish();
  const lines = text().trimEnd().split("\n");
  expect(lines.length).toBe(4);
  expect(lines[2]).toContain("100/100");
  expect(lines[3]).toStartWith("messages");
  // eslint-disable-next-line no-control-regex -- that is what must not be there.
  expect(text()).not.toMatch(/[\u0000-\u0009\u001b\r]/);
});
