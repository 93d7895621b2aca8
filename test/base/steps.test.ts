import { expect, test } from "bun:test";
import type { Clock } from "../../src/base/clock.ts";
import { StepTurns, type Steps } from "../../src/base/steps.ts";
import { HandClock } from "../home/hand-clock.ts";

const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** Work of so many steps that take a time each by the clock. */
function* work(clock: HandClock, name: string, steps: number, ms: number, done: string[]): Steps<string> {
  for (let step = 0; step < steps; step++) {
    clock.nowMs += ms;
    done.push(name);
    if (step < steps - 1) yield;
  }
  return name;
}

test("steps for which this turn of the event loop has time run at once", async () => {
  const clock = new HandClock();
  const turns = new StepTurns(clock);
  const done: string[] = [];
  const result = turns.run(work(clock, "a", 5, 0.1, done));
  expect(done.length).toBe(5);
  expect(await result).toBe("a");
});

test("a turn of the event loop does a few milliseconds of steps, and the next goes on", async () => {
  const clock = new HandClock();
  const turns = new StepTurns(clock);
  const done: string[] = [];
  const result = turns.run(work(clock, "a", 40, 0.5, done));
  let most = done.length;
  while (done.length < 40) {
    const before = done.length;
    await nextTurn();
    most = Math.max(most, done.length - before);
  }
  // 3 ms a turn, twice where one began in the middle of the loop's round.
  expect(most).toBeLessThanOrEqual(12);
  expect(most).toBeGreaterThan(1);
  expect(await result).toBe("a");
});

test("work goes on however slow the machine is: a step in each turn", async () => {
  const clock = new HandClock();
  // Whoever looks at it finds it far ahead.
  const slow: Clock = { ...clock, now: () => 0, after: () => () => {}, monotonicMs: () => (clock.nowMs += 50) };
  const done: string[] = [];
  const result = new StepTurns(slow).run(work(clock, "a", 5, 0, done));
  expect(done.length).toBe(1);
  expect(await result).toBe("a");
});

test("short work ends in the order in which it came, and long work does not keep it waiting", async () => {
  const clock = new HandClock();
  const turns = new StepTurns(clock);
  const done: string[] = [];
  const ended: string[] = [];
  const all = [
    turns.run(work(clock, "long", 100, 0.5, done)),
    ...["b", "c", "d"].map((name) => turns.run(work(clock, name, 2, 0.4, done))),
  ].map((work) => work.then((name) => ended.push(name)));
  await Promise.all(all);
  expect(ended).toEqual(["b", "c", "d", "long"]);
  expect(done.indexOf("d")).toBeLessThan(20);
});

test("work that throws rejects, and what waits behind it goes on", async () => {
  const clock = new HandClock();
  const turns = new StepTurns(clock);
  function* failing(): Steps<void> {
    clock.nowMs += 10;
    yield;
    throw new Error("damaged");
  }
  const failed = turns.run(failing());
  const other = turns.run(work(clock, "b", 3, 0.5, []));
  expect(failed).rejects.toThrow("damaged");
  expect(await other).toBe("b");
});

test("work that starts more work does not nest calls deeper and deeper", async () => {
  const turns = new StepTurns(new HandClock());
  let begun = 0;
  let last: Promise<void> | undefined;
  // oxlint-disable-next-line require-yield -- one step
  function* beginning(): Steps<void> {
    if (++begun < 50_000) last = turns.run(beginning());
  }
  await turns.run(beginning());
  await last;
  expect(begun).toBe(50_000);
});
