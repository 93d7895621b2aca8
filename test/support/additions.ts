/** Room for whatever a test puts into groups. */
import { systemClock } from "../../src/base/clock.ts";
import { additionRates, GroupAdditions } from "../../src/home/groups/group-additions.ts";

export const additionsForTests = (): GroupAdditions => new GroupAdditions(additionRates(1000, 1000), systemClock);
