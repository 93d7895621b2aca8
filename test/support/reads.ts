/** Room for whatever a test reads. */
import { systemClock } from "../../src/base/clock.ts";
import { readRate } from "../../src/domain/limits.ts";
import { ReadBudget } from "../../src/home/reading/read-budget.ts";

export const readsForTests = (): ReadBudget => new ReadBudget(readRate(1_000_000), systemClock);
