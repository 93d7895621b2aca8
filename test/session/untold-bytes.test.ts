import { expect, test } from "bun:test";
import { FrameBuckets, FrameBudget } from "../../src/home/session/frame-budget.ts";
import { UntoldBytes } from "../../src/home/session/untold-bytes.ts";
import { HandClock } from "../home/hand-clock.ts";

const RATES = { frames: { perSecond: 100, burst: 200 }, bytes: { perSecond: 10_000, burst: 20_000 } };
const UNDER_WAY = 144 << 10;
const PIECE = 6;

function untoldBytes() {
  const clock = new HandClock();
  const budget = new FrameBudget(RATES, clock);
  const untold = new UntoldBytes(budget, RATES, clock);
  untold.charge(0, false);
  return { clock, budget, untold };
}

test("frames that were taken are not charged again, in whatever alphabet", () => {
  const { clock, budget, untold } = untoldBytes();
  let read = 0;
  for (let n = 0; n < 5000; n++) {
    budget.spend(50);
    read += 8 + 3 * 50;
    clock.advance(10);
    if (n % 7 === 0) expect(untold.charge(read, false)).toBe("within");
  }
  expect(budget.spend(50)).not.toBe("short");
});

test("what came before the first look belongs to no one", () => {
  const { clock, budget } = untoldBytes();
  const untold = new UntoldBytes(budget, RATES, clock);
  expect(untold.charge(1 << 30, false)).toBe("within");
  expect(untold.charge(1 << 30, false)).toBe("within");
});

test("a message under way is charged to nobody, one after the other", () => {
  const { clock, budget, untold } = untoldBytes();
  let read = 0;
  for (let n = 0; n < 100; n++) {
    read += 128 << 10;
    expect(untold.charge(read, false)).toBe("within");
    budget.spend(128 << 10);
    clock.advance(60_000);
    expect(untold.charge(read, false)).toBe("within");
  }
});

test("pieces cost as much as frames, of the user as well: a burst, then short, then far beyond", () => {
  const { budget, untold } = untoldBytes();
  const shared = new FrameBuckets(RATES);
  budget.share(shared);
  expect(untold.charge(UNDER_WAY + 200 * PIECE, false)).toBe("within");
  expect(untold.charge(UNDER_WAY + 300 * PIECE, false)).toBe("short");
  expect(shared.waitMs).toBeGreaterThan(900);
  expect(untold.charge(UNDER_WAY + 401 * PIECE, false)).toBe("far-beyond");
});

test("frames in between hide no pieces, neither those before nor those after", () => {
  const { budget, untold } = untoldBytes();
  for (let n = 0; n < 100; n++) budget.spend(100);
  untold.charge(100 * 106, false);
  expect(untold.charge(100 * 106 + UNDER_WAY + 401 * PIECE, false)).toBe("far-beyond");
});

test("pieces at the rate are no burst, however long nobody looks", () => {
  const { clock, untold } = untoldBytes();
  clock.advance(3_600_000);
  expect(untold.charge(UNDER_WAY + 3600 * 100 * PIECE, false)).toBe("within");
});

test("after a close bytes count: what was on its way is let through", () => {
  const { untold } = untoldBytes();
  expect(untold.charge(UNDER_WAY + 20_000, true)).toBe("within");
  expect(untold.charge(UNDER_WAY + 40_001, true)).toBe("far-beyond");
});
