import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PREFIXES_MAX, RECENT_REF_MS, RecentRefs, splitRef } from "../../src/domain/refs.ts";
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
const waitMs = fc.constantFrom(0, 0, 0, 10, 30_000, 59_000);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("use" as const), ref, waitMs }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("load" as const, "burst" as const), ref, waitMs }) },
);

/** Every ref that was ever used, and when: what a log would tell. */
class Used {
  readonly at = new Map<string, number>();

  highest(prefix: string): number {
    const found = [...this.at.keys()].map(splitRef).filter((split) => split.prefix === prefix);
    return Math.max(-1, ...found.map(({ counter }) => counter));
  }
}

/** As a shard asks: what is not held is looked up, until all is held. */
function mustLookUp(refs: RecentRefs, used: Used, next: string, now: number): boolean {
  const known = refs.mayRepeat(next) ?? (refs.holdsAll(now) ? false : undefined);
  if (known !== undefined) return known;
  const { prefix, counter } = splitRef(next);
  // Of every second prefix the log does not know the counters.
  if (counter < 0 || prefix.length % 2 === 1) return true;
  refs.noteHighest(prefix, used.highest(prefix), now);
  return counter <= used.highest(prefix);
}

test("a ref used within the last minute is never taken for a new one, also before a load, also when more were used than are held", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = -5000;
      let refs = new RecentRefs(now);
      const used = new Used();
      const use = (next: string): void => {
        const last = used.at.get(next);
        const isLookedUp = mustLookUp(refs, used, next, now);
        if (last !== undefined && now - last <= 60_000) expect(isLookedUp).toBe(true);
        refs.note(next, now);
        used.at.set(next, now);
      };
      for (const { kind, ref: next, waitMs: ms } of steps) {
        now += ms;
        if (kind === "load") refs = new RecentRefs(now);
        else if (kind === "burst") for (let n = 0; n <= PREFIXES_MAX; n++) refs.note(`${now}/${n}/0`, now);
        use(next);
        expect(refs.size).toBeLessThanOrEqual(PREFIXES_MAX);
      }
    }),
    seeded(100),
  );
});

test("rising refs are known to be new without a look-up, whatever devices send in between", () => {
  const refs = new RecentRefs(-RECENT_REF_MS);
  for (let n = 0; n < 1000; n++) {
    for (const prefix of ["k3f9-", "zz1-"]) {
      expect(refs.mayRepeat(`${prefix}${n}`) ?? !refs.holdsAll(n)).toBe(false);
      refs.note(`${prefix}${n}`, n);
    }
  }
});

test("after a load one look-up for each prefix tells which of its refs are new", () => {
  const refs = new RecentRefs(0);
  expect([refs.mayRepeat("k3f9-8"), refs.holdsAll(1)]).toEqual([undefined, false]);
  refs.noteHighest("k3f9-", 7, 1);
  expect([refs.mayRepeat("k3f9-7"), refs.mayRepeat("k3f9-8"), refs.mayRepeat("zz1-8")]).toEqual([
    true,
    false,
    undefined,
  ]);
});

test("a ref whose prefix the log could not tell of says nothing about higher ones, before a minute has passed", () => {
  const refs = new RecentRefs(0);
  refs.note("m5", 1);
  expect([refs.mayRepeat("m5"), refs.mayRepeat("m6")]).toEqual([true, undefined]);
  refs.note("m7", RECENT_REF_MS);
  expect([refs.mayRepeat("m7"), refs.mayRepeat("m8")]).toEqual([true, false]);
});

test("prefixes that are no longer used are forgotten", () => {
  const refs = new RecentRefs(0);
  for (let n = 0; n < 1000; n++) refs.note(`p${n}-1`, 0);
  refs.note("q-1", RECENT_REF_MS + 1);
  refs.note("q-2", 2 * RECENT_REF_MS + 2);
  expect(refs.size).toBe(1);
});
