import { expect, test } from "bun:test";
import { StateTable } from "../../src/shard/state-table.ts";

type State = { name: number; isIdle: boolean };

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

function table(loadedMax: number) {
  let loads = 0;
  const states = new StateTable<number, State>(
    (name) => (loads++, { name, isIdle: true }),
    (state) => state.isIdle,
    loadedMax,
  );
  return { states, loads: () => loads };
}

test("a state is never dropped in the turn in which somebody got it, however many are loaded after it", async () => {
  const { states } = table(10);
  const first = states.get(0)!;
  for (let name = 1; name < 100; name++) states.get(name);
  expect(states.get(0)).toBe(first);
  await nextTurn();
  expect(states.size).toBe(10);
});

test("what is in use stays, what is idle goes and is loaded again", async () => {
  const { states, loads } = table(10);
  const busy = states.get(0)!;
  busy.isIdle = false;
  for (let name = 1; name < 50; name++) states.get(name);
  await nextTurn();
  expect(states.get(0)).toBe(busy);
  expect(states.peek(1)).toBeUndefined();
  const before = loads();
  expect(states.get(1)!.name).toBe(1);
  expect(loads()).toBe(before + 1);
});
