import { expect, test } from "bun:test";
import { Connections } from "../../src/node/connections.ts";
import { peerKey } from "../../src/node/kernel-sockets.ts";
import { ReadWatch } from "../../src/node/read-watch.ts";
import { HandClock } from "../home/hand-clock.ts";

const EVERY_MS = 100;
const peerOf = (port: number) => ({ address: "127.0.0.1", port, family: "IPv4" as const });

/** A kernel that has a connection behind each descriptor but the lowest three, and a process that uses as much of a core as the test says. */
function watched({ sockets, isCounted = true }: { sockets: number; isCounted?: boolean }) {
  const clock = new HandClock();
  const connections = new Connections(clock);
  const told = new Map<number, number[]>();
  const state = { cpuMs: 0, lists: 0, toEnd: 0, ended: [] as number[] };
  // Nobody finds out that a closed one has gone, unless the test says so.
  connections.onClosed = () => {};
  const ends = Array.from({ length: sockets }, (_, n) =>
    connections.open(peerOf(n + 3), {
      hasRead(bytes) {
        told.set(n + 3, [...(told.get(n + 3) ?? []), bytes]);
        return state.toEnd === n + 3;
      },
      lingerMs: 0,
      gone: () => {},
    }),
  );
  const watch = new ReadWatch({
    connections,
    clock,
    port: 0,
    times: { everyMs: EVERY_MS, busyShare: 0.5 },
    cpuMs: () => state.cpuMs,
    openDescriptors: async () => (state.lists++, Array.from({ length: sockets + 5 }, (_, n) => n)),
    kernel: {
      at: (descriptor) =>
        descriptor < 3
          ? undefined
          : {
              descriptor,
              peer: peerKey("127.0.0.1", descriptor),
              idleMs: 0,
              isDelivered: false,
              receivedBytes: isCounted ? 1000 * descriptor : undefined,
            },
      bytesRead: ({ receivedBytes }) => receivedBytes,
      end: (descriptor) => void state.ended.push(descriptor),
    },
  });
  return {
    told,
    ends,
    connections,
    state,
    watch,
    /** So much time passes, with so much of it used. */
    async pass(usedMs: number): Promise<void> {
      state.cpuMs += usedMs;
      clock.advance(EVERY_MS);
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => void setImmediate(resolve));
    },
  };
}

test("each WebSocket gets the count of its own bytes, and no other", async () => {
  const { told, pass, watch } = watched({ sockets: 600 });
  await pass(EVERY_MS);
  expect(told.size).toBe(600);
  expect(told.get(300)).toEqual([300_000]);
  await watch.stop();
});

test("a closed WebSocket is counted until it has gone, and is ended if it goes on sending", async () => {
  const { told, pass, ends, state, connections } = watched({ sockets: 3 });
  ends[0]!();
  state.toEnd = 3;
  await pass(EVERY_MS);
  expect(state.ended).toEqual([3]);
  for (const closed of [...connections.closed]) connections.gone(closed);
  await pass(EVERY_MS);
  await pass(EVERY_MS);
  expect([told.get(3)!.length, told.get(4)!.length]).toEqual([1, 3]);
});

test("an idle process, or one without WebSockets, does not ask the kernel", async () => {
  const idle = watched({ sockets: 1 });
  await idle.pass(10);
  expect(idle.state.lists).toBe(0);
  await idle.pass(60);
  expect(idle.state.lists).toBe(1);
  const empty = watched({ sockets: 0 });
  await empty.pass(EVERY_MS);
  expect(empty.state.lists).toBe(0);
});

test("with a kernel that does not count bytes, no WebSocket gets a count", async () => {
  const { told, pass } = watched({ sockets: 3, isCounted: false });
  await pass(EVERY_MS);
  expect(told.size).toBe(0);
});

test("after a stop the kernel is not asked any more", async () => {
  const { state, pass, watch } = watched({ sockets: 3 });
  await watch.stop();
  await pass(EVERY_MS);
  expect(state.lists).toBe(0);
});
