/**
 * Every number that a conversation or a group shows is what its log says, whatever changed under it: who joined, left,
 * came back, how large a group grew, what was erased, flushed, or read back after a crash.
 */
import { test } from "bun:test";
import fc from "fast-check";
import { seeded } from "../support/seed.ts";
import { Numbered, step } from "./numbered.ts";

test("every number is the one that the log gives, whatever has changed under it", async () => {
  const property = fc.asyncProperty(fc.array(step, { maxLength: 40, size: "max" }), async (steps) => {
    const numbered = new Numbered();
    await numbered.begin();
    for (const [at, one] of steps.entries()) {
      await numbered.take(one);
      if (at % 4 === 3) await numbered.expectAll();
    }
    await numbered.expectAll();
    await numbered.talk.shards.restart();
    await numbered.expectAll();
    await numbered.talk.shards.close();
  });
  await fc.assert(property, seeded(40));
}, 120_000);
