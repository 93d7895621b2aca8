import { expect, test } from "bun:test";
import { OutboxFlusher } from "../../src/home/session/outbox-flusher.ts";
import { HandClock } from "../home/hand-clock.ts";

const microtask = () => Promise.resolve();
const nextTurn = () => new Promise<void>((resolve) => void setImmediate(resolve));

/** Outboxes whose writes take a time each. */
function outboxes(count: number, ms: number) {
  const clock = new HandClock();
  const errors: unknown[] = [];
  const flusher = new OutboxFlusher(clock, (error) => errors.push(error));
  const left: number[] = [];
  const make = (n: number) => ({
    flush() {
      clock.nowMs += ms;
      left.push(n);
    },
  });
  return { clock, flusher, errors, left, make, all: Array.from({ length: count }, (_, n) => make(n)) };
}

test("what gathered in a turn leaves at its end, in the order in which it came", async () => {
  const { flusher, left, all } = outboxes(500, 0.001);
  for (const outbox of all) flusher.add(outbox);
  expect(left).toEqual([]);
  await microtask();
  expect(left).toEqual(all.map((_, n) => n));
});

test("a turn sends for a few milliseconds, and the next ones go on in order, also with what comes meanwhile", async () => {
  const { flusher, left, make, all } = outboxes(1000, 0.05);
  for (const outbox of all) flusher.add(outbox);
  await microtask();
  let most = left.length;
  expect(most).toBeLessThan(1000);
  for (let late = 1000; left.length < 1010;) {
    const before = left.length;
    if (late < 1010) flusher.add(make(late++));
    await nextTurn();
    most = Math.max(most, left.length - before);
  }
  expect(left).toEqual(Array.from({ length: 1010 }, (_, n) => n));
  // 3 ms, and what is sent between two looks at the clock, twice.
  expect(most * 0.05).toBeLessThan(3 + 2 * 64 * 0.05);
});

test("what may gather leaves at the end of the turn after a pause, and else with what comes in as long as that took", async () => {
  const { clock, flusher, left, make } = outboxes(0, 2);
  flusher.addGathering(make(1));
  await microtask();
  await microtask();
  expect(left).toEqual([1]);
  flusher.addGathering(make(2));
  await microtask();
  clock.advance(1);
  flusher.addGathering(make(3));
  flusher.add(make(4));
  await microtask();
  expect(left).toEqual([1, 4]);
  // The one that could not wait took 2 ms.
  clock.advance(0);
  await microtask();
  expect(left).toEqual([1, 4, 2, 3]);
  clock.advance(4);
  flusher.addGathering(make(5));
  await microtask();
  await microtask();
  expect(left).toEqual([1, 4, 2, 3, 5]);
});

test("a round that takes long is followed by another one 5 ms later, and what comes meanwhile waits for that", async () => {
  const { clock, flusher, left, make } = outboxes(0, 0.05);
  for (let n = 0; n < 1000; n++) flusher.addGathering(make(n));
  for (let late = 1000; left.length < 1000; late++) {
    await nextTurn();
    flusher.addGathering(make(late));
  }
  expect(left).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  clock.advance(4.9);
  await microtask();
  expect(left).toHaveLength(1000);
  clock.advance(0.2);
  await microtask();
  expect(left.length).toBeGreaterThan(1000);
});

test("an outbox that sends from within a flush leaves behind the others", async () => {
  const { flusher, left, make, all } = outboxes(2, 0);
  flusher.add({ flush: () => flusher.add(make(7)) });
  for (const outbox of all) flusher.add(outbox);
  await microtask();
  expect(left).toEqual([0, 1, 7]);
});

test("one that cannot be written to keeps neither the others nor those that come later from leaving", async () => {
  const { flusher, errors, left, make, all } = outboxes(2, 0);
  flusher.add({
    flush() {
      throw new Error("broken");
    },
  });
  for (const outbox of all) flusher.add(outbox);
  await microtask();
  flusher.add(make(7));
  await microtask();
  expect(left).toEqual([0, 1, 7]);
  expect(errors).toEqual([new Error("broken")]);
});

test("it goes on also when nobody can be told of the one that cannot be written to", async () => {
  const { left, make } = outboxes(0, 0);
  const flusher = new OutboxFlusher(new HandClock(), () => {
    throw new Error("the log is broken, too");
  });
  const broken = {
    flush() {
      throw new Error("broken");
    },
  };
  for (const outbox of [broken, make(1), broken, make(2)]) flusher.add(outbox);
  await microtask();
  flusher.add(make(3));
  await microtask();
  expect(left).toEqual([1, 2, 3]);
});
