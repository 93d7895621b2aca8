import { expect, test } from "bun:test";
import { atOnce, type Steps } from "../../src/base/steps.ts";
import { LoadBudget } from "../../src/home/state/load-budget.ts";
import { StateTable } from "../../src/home/state/state-table.ts";

type State = { name: number; isIdle: boolean; bytes: number; heldBytes: number };

/** Of each state. */
const BYTES = 100;

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Loading takes so many steps before the last. Names below 0 are not there, 1013 cannot be read. */
function table(loadedMax: number, steps = 0) {
  let loads = 0;
  function* load(name: number): Steps<State | undefined> {
    loads++;
    for (let step = 0; step < steps; step++) yield;
    if (name === 1013) throw new Error("damaged");
    return name < 0 ? undefined : { name, isIdle: true, bytes: BYTES, heldBytes: 0 };
  }
  const states = new StateTable<number, State>(load, (state) => state.isIdle, new LoadBudget(loadedMax * BYTES));
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

test("whoever needs a state at once that is being loaded in steps ends that load, and all get one state", () => {
  const { states, loads } = table(10, 5);
  const first = states.steps(1);
  const second = states.steps(1);
  first.next();
  second.next();
  first.next();
  const state = states.get(1)!;
  expect(atOnce(first)).toBe(state);
  expect(atOnce(second)).toBe(state);
  expect(loads()).toBe(1);
});

test("states that are loaded one after the other are loaded in steps of their own, however short each load is", () => {
  const { states, loads } = table(10);
  function* several(): Steps<void> {
    for (const name of [1, 2, 3, 2, 1]) yield* states.steps(name);
  }
  const steps = several();
  const loadsAfterEach: number[] = [];
  while (steps.next().done !== true) loadsAfterEach.push(loads());
  expect(loadsAfterEach).toEqual([0, 1, 2]);
  expect(loads()).toBe(3);
});

test("two who load one state in steps share the steps", () => {
  const { states } = table(10, 5);
  const [one, other] = [states.steps(1), states.steps(1)];
  let taken = 0;
  for (let isDone = false; !isDone; taken += 2) isDone = one.next().done === true || other.next().done === true;
  expect(taken).toBeLessThan(10);
});

test("a load that fails or finds nothing is told to all who wait for it, and the next one tries anew", () => {
  const { states, loads } = table(10, 2);
  const [one, other] = [states.steps(1013), states.steps(1013)];
  one.next();
  other.next();
  expect(() => atOnce(one)).toThrow("damaged");
  expect(() => atOnce(other)).toThrow("damaged");
  expect(atOnce(states.steps(-1))).toBeUndefined();
  expect(states.get(-1)).toBeUndefined();
  expect(loads()).toBe(4);
  expect(states.size).toBe(0);
});

test("a table that another one has taken the place of loads nothing any more, also for who had begun to", () => {
  const load = function* (name: number): Steps<State> {
    yield;
    return { name, isIdle: true, bytes: 1, heldBytes: 0 };
  };
  const states = new StateTable(load, () => true, new LoadBudget(10));
  const [held] = [states.get(1)];
  const begun = states.steps(2);
  begun.next();
  begun.next();
  expect(states.end()).toEqual([held!]);
  expect(states.peek(1)).toBeUndefined();
  expect(() => states.get(1)).toThrow("try again");
  expect(() => atOnce(begun)).toThrow("try again");
});
