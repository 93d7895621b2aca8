import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RECENT_REF_MS, RecentRefs, splitRef } from "../../src/domain/refs.ts";
import { seeded } from "../support/seed.ts";

describe("a ref is cut into prefix and counter", () => {
  test.each([
    ["k3f9-17", "k3f9-", 17],
    ["17", "", 17],
    ["0", "", 0],
    ["a0", "a", 0],
    ["a007", "a007", -1],
    ["a-", "a-", -1],
    ["a1b", "a1b", -1],
    ["x999999999999999", "x", 999_999_999_999_999],
    ["x9999999999999999", "x9999999999999999", -1],
  ])("%s", (ref, prefix, counter) => {
    expect(splitRef(ref)).toEqual({ prefix, counter });
  });
});

const ref = fc.oneof(
  fc.tuple(fc.constantFrom("a-", "b-", "a", "", "a1-", "7x"), fc.nat(30)).map(([prefix, n]) => `${prefix}${n}`),
  fc.constantFrom("007", "a-007", "-", "x", "a-", "00", "1e5"),
);
const step = fc.record({ ref, waitMs: fc.constantFrom(0, 0, 0, 10, 30_000, 59_000) });

test("a ref used within the last minute is never taken for a new one", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const refs = new RecentRefs();
      const usedAt = new Map<string, number>();
      let now = 1_000_000;
      for (const { ref: next, waitMs } of steps) {
        now += waitMs;
        const last = usedAt.get(next);
        if (last !== undefined && now - last <= 60_000) expect(refs.mayRepeat(next)).toBe(true);
        refs.note(next, now);
        usedAt.set(next, now);
      }
    }),
    seeded(100),
  );
});

test("rising refs are known to be new without a look-up, whatever devices send in between", () => {
  const refs = new RecentRefs();
  for (let n = 0; n < 1000; n++) {
    for (const prefix of ["k3f9-", "zz1-"]) {
      expect(refs.mayRepeat(`${prefix}${n}`)).toBe(false);
      refs.note(`${prefix}${n}`, n);
    }
  }
});

test("prefixes that are no longer used are forgotten", () => {
  const refs = new RecentRefs();
  for (let n = 0; n < 1000; n++) refs.note(`p${n}-1`, 0);
  refs.note("q-1", RECENT_REF_MS + 1);
  refs.note("q-2", 2 * RECENT_REF_MS + 2);
  expect(refs.size).toBe(1);
});
