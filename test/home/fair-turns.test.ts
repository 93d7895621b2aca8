import { expect, test } from "bun:test";
import type { AppError } from "../../src/base/errors.ts";
import { systemRandom } from "../../src/base/random.ts";
import { FairTurns } from "../../src/home/accounts/fair-turns.ts";
import { Passwords, type PasswordHashing } from "../../src/home/accounts/passwords.ts";

/** Nothing is computed before the test says so. */
async function heldPasswords(queueMax: number) {
  const order: string[] = [];
  const held: (() => void)[] = [];
  let isHeld = false;
  const hashing: PasswordHashing = {
    hash: (password) => {
      if (!isHeld) return Promise.resolve("nobody's");
      order.push(password);
      return new Promise((resolve) => held.push(() => resolve(`hash of ${password}`)));
    },
    verify: () => Promise.resolve(false),
  };
  const passwords = await Passwords.open({ memoryKiB: 64, passes: 1, concurrency: 1, queueMax }, systemRandom, hashing);
  isHeld = true;
  const asked: Promise<string>[] = [];
  return {
    order,
    ask(password: string, client: string): void {
      const answer = passwords.hash(password, client).catch((error: AppError) => error.code);
      asked.push(answer);
    },
    async answers(): Promise<string[]> {
      let answered = false;
      const all = Promise.all(asked).finally(() => (answered = true));
      while (!answered) {
        held.shift()?.();
        await new Promise(setImmediate);
      }
      return all;
    },
  };
}

test("an address that fills the queue does not keep others from logging in, and they do not wait behind it", async () => {
  const { ask, answers, order } = await heldPasswords(4);
  for (let n = 1; n <= 5; n++) ask(`a${n}`, "10.0.0.1");
  ask("b1", "10.0.0.2");
  expect(await answers()).toEqual([
    "hash of a1",
    "hash of a2",
    "hash of a3",
    "hash of a4",
    "unavailable",
    "hash of b1",
  ]);
  expect(order).toEqual(["a1", "a2", "b1", "a3", "a4"]);
});

test("addresses take turns", async () => {
  const { ask, answers, order } = await heldPasswords(8);
  for (const [password, client] of [
    ["a1", "a"],
    ["a2", "a"],
    ["a3", "a"],
    ["b1", "b"],
    ["b2", "b"],
    ["c1", "c"],
  ] as const)
    ask(password, client);
  await answers();
  expect(order).toEqual(["a1", "a2", "b1", "c1", "a3", "b2"]);
});

test("an address alone has the whole queue, as all users behind one proxy need it", async () => {
  const { ask, answers } = await heldPasswords(3);
  for (let n = 1; n <= 5; n++) ask(`a${n}`, "10.0.0.1");
  expect(await answers()).toEqual(["hash of a1", "hash of a2", "hash of a3", "hash of a4", "unavailable"]);
});

test("whoever has as many waiting as anybody is refused when the queue is full", async () => {
  const { ask, answers } = await heldPasswords(4);
  ask("first", "x");
  for (const [password, client] of [
    ["a1", "a"],
    ["a2", "a"],
    ["b1", "b"],
    ["b2", "b"],
    ["b3", "b"],
  ] as const)
    ask(password, client);
  expect((await answers()).at(-1)).toBe("unavailable");
});

test("no more wait than may, and nothing is kept of who has gone", () => {
  const turns = new FairTurns<number>(3);
  for (let n = 0; n < 100; n++) turns.add(`client ${n}`, n);
  expect(turns.size).toBe(3);
  expect([turns.next(), turns.next(), turns.next(), turns.next()]).toEqual([0, 1, 2, undefined]);
  expect([turns.size, turns.clients]).toEqual([0, 0]);
});
