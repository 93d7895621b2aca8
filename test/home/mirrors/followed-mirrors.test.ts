import { expect, test } from "bun:test";
import { SEED } from "../../support/seed.ts";
import { Club } from "./club.ts";

const RUNS = Number(process.env["RUNS"] ?? 15);
const STEPS = 150;

test(
  "members are told every entry once and in its place, whatever becomes of casts and asks (G7)",
  async () => {
    const counts = { lost: 0, repeated: 0, late: 0 };
    for (let run = 0; run < RUNS; run++) {
      const seed = SEED + run;
      const club = new Club(seed);
      try {
        await club.begin();
        for (let step = 0; step < STEPS; step++) await takeStep(club);
        await club.settle();
        club.expectTold();
        expect(Math.max(...club.devices.map(({ told }) => told.size))).toBeGreaterThan(20);
        await club.close();
      } catch (error) {
        throw new Error(`SEED=${seed} RUNS=1 npm test -- test/home/mirrors/followed`, { cause: error });
      }
      counts.lost += club.wire.counts.lost;
      counts.repeated += club.wire.counts.repeated;
      counts.late += club.wire.counts.late;
    }
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(RUNS);
  },
  60_000 + RUNS * 500,
);

async function takeStep(club: Club): Promise<void> {
  const { random, devices } = club;
  const drawn = random();
  const device = devices[Math.floor(random() * devices.length)]!;
  if (drawn < 0.5) for (let left = Math.floor(random() * 3); left >= 0; left--) device.say();
  else if (drawn < 0.85) await club.turns(1 + Math.floor(random() * 12));
  else if (drawn < 0.9) device.disconnect();
  else if (drawn < 0.95) for (const one of devices) one.comeOn(random() < 0.5);
  else club.change();
}
