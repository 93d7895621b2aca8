import { expect, test } from "bun:test";
import { SEED } from "../support/seed.ts";
import { ADDRESSES, FaultyTalk, PEOPLE } from "./faulty-talk.ts";

const RUNS = Number(process.env["RUNS"] ?? 20);
const STEPS = 120;

test("messages arrive once and in order, whatever becomes of what crosses between shards", async () => {
  const counts = { lost: 0, repeated: 0, late: 0 };
  for (let run = 0; run < RUNS; run++) {
    const seed = SEED + run;
    const talk = new FaultyTalk(seed);
    try {
      await talk.begin();
      for (let step = 0; step < STEPS; step++) await takeStep(talk);
      await talk.settle();
      talk.expectDelivered();
      await talk.expectNothingOwed();
      await talk.shards.close();
    } catch (error) {
      throw new Error(`SEED=${seed} RUNS=1 npm test -- test/home/faulty-router`, { cause: error });
    }
    counts.lost += talk.wire.counts.lost;
    counts.repeated += talk.wire.counts.repeated;
    counts.late += talk.wire.counts.late;
  }
  for (const count of Object.values(counts)) expect(count).toBeGreaterThan(RUNS);
});

async function takeStep(talk: FaultyTalk): Promise<void> {
  const { random } = talk;
  const drawn = random();
  const person = (): (typeof PEOPLE)[0] => PEOPLE[Math.floor(random() * PEOPLE.length)]!;
  if (drawn < 0.6) {
    const from = person();
    const to = ADDRESSES[Math.floor(random() * ADDRESSES.length)]!;
    for (let left = Math.floor(random() * 4); left >= 0; left--) talk.say(from, to);
  } else if (drawn < 0.9) await talk.turns(Math.floor(random() * 12));
  else if (drawn < 0.93) talk.sayAgain();
  else if (drawn < 0.97) await talk.crash();
  else await talk.restart();
}
