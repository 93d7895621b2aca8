import { expect, test } from "bun:test";
import { CATCH_UP_STALLED_MS, StallWatch } from "../../src/home/session/stall-watch.ts";
import { WatchedClock } from "../support/watched-clock.ts";

function watched(queued: { bytes: number }) {
  const clock = new WatchedClock();
  let stalls = 0;
  const watch = new StallWatch(
    clock,
    () => queued.bytes,
    () => stalls++,
  );
  return { watch, clock, stalls: () => stalls, later: () => clock.fallDue(CATCH_UP_STALLED_MS) };
}

test("who reads nothing for the whole time has stalled", () => {
  const { watch, stalls, later } = watched({ bytes: 100 });
  watch.begin();
  watch.begin();
  later();
  expect(stalls()).toBe(1);
});

test("who reads slowly has not stalled, however long it takes", () => {
  const queued = { bytes: 100 };
  const { watch, clock, stalls, later } = watched(queued);
  watch.begin();
  for (queued.bytes = 99; queued.bytes > 50; queued.bytes--) later();
  expect(stalls()).toBe(0);
  later();
  later();
  expect(stalls()).toBe(1);
  expect(clock.putOffMs()).toEqual([]);
});

test("a catch-up that goes on is watched no more", () => {
  const { watch, clock, later, stalls } = watched({ bytes: 100 });
  watch.begin();
  watch.end();
  later();
  expect([stalls(), clock.putOffMs()]).toEqual([0, []]);
});
