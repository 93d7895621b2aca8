import { expect, test } from "bun:test";
import { StepTurns } from "../../src/base/steps.ts";
import { Arrivals } from "../../src/home/handoffs/arrivals.ts";
import { HandClock } from "./hand-clock.ts";

test("one that cannot be taken is told so, and what waits behind it arrives", async () => {
  const states = { *steps() {}, get: () => "state", peek: () => undefined } as never;
  const arrivals = new Arrivals<string, string>(states, new StepTurns(new HandClock()));
  const heard: string[] = [];
  const failed = (error: unknown): void => void heard.push((error as Error).message);
  arrivals.add("ann", {
    arrived: () => {
      throw new Error("cannot be taken");
    },
    failed,
  });
  arrivals.add("ann", { arrived: (state) => void heard.push(`${state}`), failed });
  await arrivals.idle();
  expect(heard).toEqual(["cannot be taken", "state"]);
  expect(arrivals.isAwaited("ann")).toBe(false);
});
