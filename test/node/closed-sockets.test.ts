import { expect, test } from "bun:test";
import { CLOSED_LOOK_EVERY_MS, ClosedSockets, DELIVERED_LINGER_MS } from "../../src/node/closed-sockets.ts";
import { Connections } from "../../src/node/connections.ts";
import { peerKey } from "../../src/node/kernel-sockets.ts";
import { HandClock } from "../home/hand-clock.ts";

const LINGER_MS = 5000;
const peerOf = (port: number) => ({ address: "127.0.0.1", port, family: "IPv4" as const });

/** A kernel whose connection behind descriptor n has the port n at its other end. */
function followed(sockets: number) {
  const clock = new HandClock();
  const connections = new Connections(clock);
  const state = {
    held: new Set(Array.from({ length: sockets }, (_, n) => n)),
    delivered: new Set<number>(),
    canList: true,
    asked: [] as number[],
    ended: [] as [number, boolean][],
    gone: [] as number[],
  };
  const closes = Array.from({ length: sockets }, (_, n) =>
    connections.open(peerOf(n), { hasRead: () => false, lingerMs: LINGER_MS, gone: () => state.gone.push(n) }),
  );
  const closed = new ClosedSockets({
    connections,
    clock,
    port: 0,
    openDescriptors: async () => (state.canList ? [...state.held] : []),
    kernel: {
      at(descriptor) {
        state.asked.push(descriptor);
        if (!state.held.has(descriptor)) return undefined;
        const isDelivered = state.delivered.has(descriptor);
        const peer = peerKey("127.0.0.1", descriptor);
        return { descriptor, peer, idleMs: 0, isDelivered, receivedBytes: undefined };
      },
      end: (descriptor, isLost = false) => void state.ended.push([descriptor, isLost]),
    },
  });
  return {
    closed,
    closes,
    connections,
    state,
    async pass(ms: number): Promise<void> {
      clock.nowMs += ms - CLOSED_LOOK_EVERY_MS;
      clock.advance(CLOSED_LOOK_EVERY_MS);
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => void setImmediate(resolve));
    },
  };
}

test("a closed WebSocket has gone when the kernel has no such connection any more, and not before", async () => {
  const { closes, connections, state, pass } = followed(2);
  closes[0]!();
  await pass(CLOSED_LOOK_EVERY_MS);
  expect([state.gone, connections.count]).toEqual([[], 2]);
  state.held.delete(0);
  await pass(CLOSED_LOOK_EVERY_MS);
  expect([state.gone, connections.count]).toEqual([[0], 1]);
});

test("a closed WebSocket is ended after its time, or a second after the other end has everything; unread bytes are dropped", async () => {
  const { closes, state, pass } = followed(2);
  for (const close of closes) close();
  state.delivered.add(0);
  await pass(CLOSED_LOOK_EVERY_MS);
  await pass(DELIVERED_LINGER_MS - 1);
  expect(state.ended).toEqual([]);
  await pass(CLOSED_LOOK_EVERY_MS);
  expect(state.ended).toEqual([[0, false]]);
  state.held.delete(0);
  await pass(LINGER_MS);
  expect(state.ended.slice(1)).toEqual([[1, true]]);
});

test("while the system cannot list descriptors, no closed WebSocket counts as gone", async () => {
  const { closes, state, pass } = followed(1);
  state.canList = false;
  closes[0]!();
  state.held.delete(0);
  await pass(CLOSED_LOOK_EVERY_MS);
  expect(state.gone).toEqual([]);
  state.canList = true;
  // A process always has something open.
  state.held.add(7);
  await pass(CLOSED_LOOK_EVERY_MS);
  expect(state.gone).toEqual([0]);
});
test("if the system can never list descriptors, a closed WebSocket has gone when the runtime has certainly ended it", async () => {
  const { closes, state, pass } = followed(1);
  state.canList = false;
  closes[0]!();
  await pass(29_000);
  expect(state.gone).toEqual([]);
  await pass(2000);
  expect(state.gone).toEqual([0]);
});

test("the kernel is asked once about an open WebSocket, however many others are closed", async () => {
  const { closes, state, pass } = followed(1000);
  closes[0]!();
  await pass(CLOSED_LOOK_EVERY_MS);
  expect(new Set(state.asked).size).toBe(1000);
  state.asked.length = 0;
  closes[1]!();
  await pass(CLOSED_LOOK_EVERY_MS);
  expect(state.asked).toEqual([0, 1]);
});

test("a closed WebSocket whose other end connects again has gone", () => {
  const { closes, connections, state } = followed(1);
  closes[0]!();
  connections.use(peerOf(0));
  expect(state.gone).toEqual([0]);
});

test("after a stop the kernel is not asked any more, and a WebSocket that closes has gone at once", async () => {
  const { closed, closes, state, pass } = followed(2);
  closes[0]!();
  await closed.stop();
  closes[1]!();
  await pass(CLOSED_LOOK_EVERY_MS);
  expect([state.asked, state.gone]).toEqual([[], [1]]);
});
