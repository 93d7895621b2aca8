import { expect, test } from "bun:test";
import { parseDay } from "../../scripts/irc/parse.ts";
import { planImport, type Plan } from "../../scripts/irc/plan.ts";
import { importUnderFire, type UnderFireOptions } from "../../scripts/irc/under-fire.ts";

const QUIET = { isTerminal: false, columns: 80, write: () => {} };
const ZEROS = { lost: 0, duplicated: 0, misordered: 0 };
const OPTIONS: UnderFireOptions = {
  ...{ apiKey: undefined, speed: "max", verify: true, verifyMembers: Number.POSITIVE_INFINITY, window: 64 },
  ...{ giveUpAfterMs: 20_000, settleMs: 5000, kills: 0, seed: 1, withPasswords: false },
};

/** Two days of a dozen people who talk to all and to each other. */
function busyPlan(linesADay: number): Plan {
  const nick = (at: number) => `nick${at % 12}`;
  const day = (date: string, from: number) => {
    const lines = Array.from({ length: linesADay }, (_, at) => {
      const line = from + at;
      const addressee = line % 3 === 0 ? `${nick(line * 7 + 1)}: ` : "";
      return `[10:${String(Math.floor((at * 60) / linesADay)).padStart(2, "0")}] <${nick(line * 5)}> ${addressee}line ${line}`;
    });
    return parseDay(date, lines.join("\n"));
  };
  return planImport([day("2005-02-06", 0), day("2005-02-07", linesADay)]);
}

test("an import through a server of its own loses, doubles and misplaces nothing", async () => {
  const plan = busyPlan(100);
  const result = await importUnderFire(plan, { ...OPTIONS, withPasswords: true }, QUIET);
  expect(result).toMatchObject({
    ...ZEROS,
    users: 12,
    groups: 2,
    deliveries: plan.deliveries,
    verified: true,
    kills: 0,
  });
});

test("an import whose server is killed with -9 and started again loses, doubles and misplaces nothing", async () => {
  const result = await importUnderFire(busyPlan(400), { ...OPTIONS, kills: 3, seed: 5 }, QUIET);
  expect(result).toMatchObject({ ...ZEROS, kills: 3, verified: true });
  expect(result.killedAt.length).toBe(3);
});
