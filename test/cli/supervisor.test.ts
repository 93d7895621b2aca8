/** Processes that end: one at a time, too often, during the start, and not at all. */
import { expect, test } from "bun:test";
import type { Clock } from "../../src/base/clock.ts";
import { Supervisor, type Running } from "../../src/cli/processes/supervisor.ts";

type Fake = { readonly name: string; ends(how: string): void; isAsked: boolean; isKilled: boolean };

/** Time that passes when the test says so. */
class Hand implements Clock {
  #now = 0;
  readonly #due: { at: number; run: () => void }[] = [];
  now = (): number => this.#now;
  monotonicMs = (): number => this.#now;

  after(ms: number, run: () => void): () => void {
    const one = { at: this.#now + ms, run };
    this.#due.push(one);
    return () => void (one.run = () => {});
  }

  async pass(ms: number): Promise<void> {
    this.#now += ms;
    for (const one of this.#due.splice(0)) {
      if (one.at <= this.#now) one.run();
      else this.#due.push(one);
    }
    await settled();
  }
}

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function supervised(...names: string[]) {
  const clock = new Hand();
  const begun: Fake[] = [];
  const said: string[] = [];
  const supervisor = new Supervisor({
    names,
    clock,
    patienceMs: 1000,
    say: (line) => void said.push(line),
    spawn: (name): Running => {
      const { promise: ended, resolve: ends } = Promise.withResolvers<string>();
      const fake: Fake = { name, ends, isAsked: false, isKilled: false };
      begun.push(fake);
      const kill = (): void => {
        fake.isKilled = true;
        ends("by SIGKILL");
      };
      return { ready: Promise.resolve(), ended, stop: () => void (fake.isAsked = true), kill };
    },
  });
  return { supervisor, clock, begun, said };
}

test("a process that ends is started again after a wait, and the others go on", async () => {
  const { supervisor, clock, begun, said } = supervised("n1", "n2");
  await supervisor.start();
  begun[1]!.ends("by SIGKILL");
  await settled();
  expect(said).toEqual(["process n2 ended by SIGKILL, and is started again"]);
  await clock.pass(249);
  expect(begun.length).toBe(2);
  await clock.pass(1);
  expect(begun.map(({ name }) => name)).toEqual(["n1", "n2", "n2"]);
});

test("each wait is twice as long, and the sixth end within a minute is the last", async () => {
  const { supervisor, clock, begun } = supervised("n1");
  await supervisor.start();
  for (const waitMs of [250, 500, 1000, 2000, 4000]) {
    begun.at(-1)!.ends("with status 1");
    await settled();
    const { length } = begun;
    await clock.pass(waitMs - 1);
    expect(begun.length).toBe(length);
    await clock.pass(1);
    expect(begun.length).toBe(length + 1);
  }
  begun.at(-1)!.ends("with status 1");
  await expect(supervisor.failed).rejects.toThrow("process n1 ended 6 times within a minute, at last with status 1");
});

test("a process that ends now and then is started again for ever", async () => {
  const { supervisor, clock, begun } = supervised("n1");
  await supervisor.start();
  for (let end = 1; end <= 20; end++) {
    begun.at(-1)!.ends("by SIGKILL");
    await settled();
    await clock.pass(60_000);
    expect(begun.length).toBe(end + 1);
  }
});

test("to stop, all are asked at once, who takes too long is killed, and nobody is started again", async () => {
  const { supervisor, clock, begun } = supervised("n1", "n2");
  await supervisor.start();
  const stopping = supervisor.stop();
  expect(begun.map(({ isAsked }) => isAsked)).toEqual([true, true]);
  begun[0]!.ends("with status 0");
  await settled();
  await clock.pass(1000);
  await stopping;
  expect(begun.map(({ isKilled }) => isKilled)).toEqual([false, true]);
  await clock.pass(100_000);
  expect(begun.length).toBe(2);
});

test("one that waits to be started again is not started while all stop", async () => {
  const { supervisor, clock, begun } = supervised("n1");
  await supervisor.start();
  begun[0]!.ends("by SIGKILL");
  await settled();
  await supervisor.stop();
  await clock.pass(100_000);
  expect(begun.length).toBe(1);
});
