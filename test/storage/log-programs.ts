/** Random programs for the log store, as fast-check draws and shrinks them. */
import fc from "fast-check";
import type { RecordOfShard } from "./log-history.ts";

export type Step =
  { kind: "append"; batch: RecordOfShard[]; wait: "idle" | "turn" | "none" } | { kind: "flush" } | { kind: "reopen" };

const stream = fc.constantFrom("@alice", "@bob", "#hikers");
const lane = fc.constantFrom("", "@carol", "@dave");
const key = fc.oneof(
  fc.constant(""),
  fc.integer({ min: 1, max: 12 }).map((n) => `d1-${n}`),
);
const small = fc.string({ maxLength: 20 });
const payload = fc.oneof(
  { weight: 4, arbitrary: small },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 1500 }).map((n) => "text ".repeat(n / 5)) },
);

const op = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("entry" as const), stream, lane, key, payload }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("key" as const),
      stream,
      key,
      seq: fc.integer({ min: 1, max: 99 }),
      value: small,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("cell" as const),
      stream,
      key: fc.constantFrom("a", "b", "c"),
      value: fc.option(small),
    }),
  },
);

const record = fc.record({ shard: fc.constantFrom(0, 7, 999), ops: fc.array(op, { minLength: 1, maxLength: 3 }) });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("append" as const),
      batch: fc.array(record, { minLength: 1, maxLength: 4 }),
      // A turn of the event loop later the batch is being written.
      wait: fc.constantFrom("idle" as const, "turn" as const, "none" as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "flush" as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: "reopen" as const }) },
);

export const programs = fc.array(step, { minLength: 1, maxLength: 25 });
