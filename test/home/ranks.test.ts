/** Ranks rise, whatever the clock shows, over starts and crashes; and as a rule they are what the clock shows. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import type { GroupAddress, UserId } from "../../src/domain/address.ts";
import { rankOfTime } from "../../src/domain/rank.ts";
import { Ranks } from "../../src/home/ranks.ts";
import { CorruptionError } from "../../storage/errors.ts";
import { randomFrom } from "../support/random.ts";
import { SEED, seeded } from "../support/seed.ts";
import { RestartedShards } from "./restarted-shards.ts";

const YEAR_MS = 365 * 86_400_000;

let shards: RestartedShards;
beforeEach(async () => {
  shards = new RestartedShards();
  await shards.begin(["ann" as UserId], "#club" as GroupAddress);
});
afterEach(() => shards.close());

const step = fc.oneof(
  fc.record({ kind: fc.constantFrom("direct" as const, "group" as const), times: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ kind: fc.constant("set clock" as const), years: fc.integer({ min: -40, max: 400 }) }),
  fc.record({ kind: fc.constantFrom("restart" as const, "crash" as const, "stop" as const) }),
);

test("every rank is above those before it, that of a direct message at least as high, over starts and crashes", async () => {
  const random = randomFrom(SEED);
  const property = fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
    const own = new RestartedShards();
    await own.begin(["ann" as UserId], "#club" as GroupAddress);
    const began = own.wallMs;
    let last = own.host.ranks.group(own.wallMs);
    const next = (kind: "direct" | "group"): void => {
      const rank = own.host.ranks[kind](own.wallMs);
      expect(rank).toBeGreaterThanOrEqual(kind === "group" ? last + 1 : last);
      last = rank;
    };
    for (const one of steps) {
      if (one.kind === "set clock") own.wallMs = began + one.years * YEAR_MS;
      else if (one.kind === "direct" || one.kind === "group") for (let n = 0; n < one.times; n++) next(one.kind);
      else {
        await own.host.store.idle();
        if (one.kind === "stop") own.host.ranks.end();
        await (one.kind === "crash" ? own.crash(random) : own.restart());
        next("direct");
      }
    }
    await own.close();
  });
  await fc.assert(property, seeded(30));
}, 60_000);

test("a rank is what the clock shows, unless one before it was as high", async () => {
  const { ranks } = shards.host;
  shards.wallMs += 1000;
  const now = rankOfTime(shards.wallMs);
  expect([ranks.direct(shards.wallMs), ranks.direct(shards.wallMs)]).toEqual([now, now]);
  expect([ranks.group(shards.wallMs), ranks.direct(shards.wallMs)]).toEqual([now + 1, now + 1]);
  expect(ranks.group(shards.wallMs + 1)).toBe(rankOfTime(shards.wallMs + 1));
  expect(ranks.group(shards.wallMs - YEAR_MS)).toBe(rankOfTime(shards.wallMs + 1) + 1);
});

test("after a stop ranks go on where they were, after a crash at most a minute later", async () => {
  shards.wallMs += 1000;
  const last = shards.host.ranks.group(shards.wallMs);
  shards.host.ranks.end();
  await shards.restart();
  expect(shards.host.ranks.group(0)).toBe(last + 1);
  await shards.host.store.idle();
  await shards.crash(randomFrom(1));
  const next = shards.host.ranks.group(0);
  expect(next).toBeGreaterThan(last + 1);
  expect(next).toBeLessThanOrEqual(last + rankOfTime(60_000) + 2);
});

test("what was stamped elsewhere is not above what comes next here", async () => {
  const { ranks } = shards.host;
  const foreign = rankOfTime(shards.wallMs + YEAR_MS);
  ranks.observe(foreign);
  expect(ranks.direct(shards.wallMs)).toBe(foreign);
  await shards.host.store.idle();
  await shards.crash(randomFrom(1));
  expect(shards.host.ranks.group(shards.wallMs)).toBeGreaterThan(foreign);
});

test("where the shard that knows of ranks is damaged, they go on all the same", () => {
  const ranks = new Ranks(() => {
    throw new CorruptionError("state.db", "page 1", "it is damaged");
  });
  expect([ranks.direct(5), ranks.group(5), ranks.group(4)]).toEqual([1280, 1281, 1282]);
});
