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
  const bar = new ProgressBar("users", 100, output, { nowMs: () => now, nameCells: 8 });
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
  expect(lines.length).toBe(3);
  expect(lines[0]).toStartWith("users      51%");
  expect(lines[1]).toContain("100/100");
  expect(lines[2]).toStartWith("messages");
  // eslint-disable-next-line no-control-regex -- that is what must not be there.
  expect(text()).not.toMatch(/[\u0000-\u0009\u001b\r]/);
});

test("elsewhere a phase that is over at once is one line", () => {
  const { bar, text, pass } = recorded(false);
  for (let at = 0; at < 100; at++) bar.advance();
  pass(6000);
  bar.set(100);
  bar.finish();
  expect(text()).toBe("users     100%  100/100  16.7/s  in 0:06\n");
});

test("a line of text is printed above the bar", () => {
  const { bar, text } = recorded(true);
  bar.advance();
  bar.say("cannot reach it");
  const plain = recorded(false);
  plain.bar.say("cannot reach it");
  expect(text()).toContain("\r\u001b[Kcannot reach it\n\r\u001b[Kusers     [");
  expect(plain.text()).toBe("cannot reach it\n");
});

test("bars of phases stand below each other, and a note that does not fit is left out", () => {
  const phases = [
    { name: "users   ", done: 5, total: 1000, seconds: 10, note: "" },
    { name: "messages", done: 49_055, total: 98_110, seconds: 5, note: "412345 delivered" },
  ];
  for (const columns of [70, 80, 100, 140]) {
    const lines = phases.map((phase) => formatProgress(phase, columns));
    expect(new Set(lines.map((line) => `${line.indexOf("[")} ${line.indexOf("]")}`)).size).toBe(1);
    expect(lines[0]).toContain("[");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(columns);
    expect(lines[1]?.endsWith("left")).toBe(columns < 90);
  }
});
