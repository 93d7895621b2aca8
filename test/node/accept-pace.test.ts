import { expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { AcceptPace } from "../../src/node/accept-pace.ts";
import { kernelSockets } from "../../src/node/kernel-sockets.ts";
import { listenerGate, type ListenerGate } from "../../src/node/listener-gate.ts";
import { HandClock } from "../home/hand-clock.ts";
import { within } from "../support/wait.ts";

const madeUpGate = () => {
  const said: boolean[] = [];
  const gate: ListenerGate = {
    shut: () => {},
    open: () => {},
    pause: (isPaused) => void said.push(isPaused),
    widen: () => {},
    close: () => {},
  };
  return { gate, isPaused: () => said.at(-1) === true };
};

test("upgrades that are refused faster than the pace stop accepting for as long as they are too many", () => {
  const clock = new HandClock();
  const { gate, isPaused } = madeUpGate();
  const pace = new AcceptPace(gate, clock);
  for (let n = 0; n < 511; n++) pace.refused();
  expect(isPaused()).toBe(false);
  for (let n = 0; n < 51; n++) pace.refused();
  expect(isPaused()).toBe(true);
  clock.advance(19);
  expect(isPaused()).toBe(true);
  clock.advance(5);
  expect(isPaused()).toBe(false);
});

test("slower refusals never stop accepting", () => {
  const clock = new HandClock();
  const { gate, isPaused } = madeUpGate();
  const pace = new AcceptPace(gate, clock);
  for (let n = 0; n < 5000; n++) {
    clock.advance(1);
    for (let refused = 0; refused < 2; refused++) pace.refused();
    expect(isPaused()).toBe(false);
  }
});

test("connections that come while accepting is paused wait, even if the gate is opened meanwhile, and are served after it", async () => {
  const kernel = kernelSockets()!;
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("served") });
  const gate = listenerGate(kernel.listener(server.port!, 4096)!)!;
  gate.pause(true);
  gate.shut(16);
  gate.open();
  let isServed = false;
  const served = fetch(`http://127.0.0.1:${server.port}/`).then(async (answer) => {
    isServed = true;
    return answer.text();
  });
  // Long enough for one that is accepted to be served many times over.
  await within("time to pass", new Promise<void>((resolve) => void systemClock.after(100, resolve)));
  expect(isServed).toBe(false);
  gate.pause(false);
  expect(await within("the answer", served)).toBe("served");
  gate.close();
  kernel.close();
  await server.stop(true);
});
