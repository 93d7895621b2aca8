import { afterEach, expect, test } from "bun:test";
import { startFloor } from "../../bench/servers/floor-server.ts";
import { Load, type LoadPair } from "../../bench/load/load.ts";
import { proxyOf, type ChangeFrame } from "./proxy.ts";

const LINES = ["one", 'two "seq":7 \\ "t":"sent"', "drei – ünïcödé ✓", "x".repeat(300)];
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function pairs(count: number): LoadPair[] {
  return Array.from({ length: count }, (_, at) => ({
    first: { user: `a${at}`, token: `a${at}` },
    second: { user: `b${at}`, token: `b${at}` },
  }));
}

async function connectedLoad(port: number, count = 3): Promise<Load> {
  const load = new Load(300);
  await load.connect({ hostname: "127.0.0.1", port, serverPid: process.pid }, pairs(count), LINES);
  ends.unshift(() => load.end());
  return load;
}

function startProxy(floorPort: number, change: ChangeFrame): number {
  const proxy = proxyOf(floorPort, change);
  ends.unshift(() => proxy.stop(true));
  return proxy.port as number;
}

function floorPort(): number {
  const floor = startFloor();
  ends.unshift(() => floor.stop(true));
  return floor.port as number;
}

test("closed and open loop deliver every message, whatever its text, and agree on the counts", async () => {
  const load = await connectedLoad(floorPort());
  const closed = await load.closedLoop(2, 10, 60);
  expect(closed.delivered).toBeGreaterThan(0);
  expect(closed.p50Ms).toBeGreaterThan(0);
  expect(closed.p99Ms).toBeGreaterThanOrEqual(closed.p50Ms);
  const beganAt = performance.now();
  const open = await load.openLoop(500, 10, 100);
  expect(open.delivered).toBeGreaterThan(0);
  // No more than fell due: what a stall held up comes later, but nothing comes that was not due.
  expect(open.delivered).toBeLessThanOrEqual(1 + ((performance.now() - beganAt) / 1000) * 500);
});

test("a server that is slower than a round is measured by a longer round", async () => {
  // The receipts of the messages wait in the proxy until the round's own time is over.
  const held: (() => void)[] = [];
  let isHeld = true;
  const port = startProxy(floorPort(), (frame, send) => {
    if (isHeld && frame.startsWith('{"t":"receipt"')) held.push(() => send(frame));
    else send(frame);
  });
  const load = await connectedLoad(port, 1);
  setTimeout(() => {
    isHeld = false;
    for (const release of held) release();
  }, 200);
  const figures = await load.openLoop(100, 0, 30);
  expect(figures.delivered).toBeGreaterThan(0);
  expect(figures.seconds).toBeGreaterThan(0.1);
  expect(Object.values(figures).filter((figure) => !Number.isFinite(figure))).toEqual([]);
});

test("one receipt for many messages confirms all of them", async () => {
  const waiting = new Map<(frame: string) => void, string>();
  let receipts = 0;
  let receiptsSent = 0;
  const timer = setInterval(() => {
    for (const [send, receipt] of waiting) {
      receiptsSent++;
      send(receipt);
    }
    waiting.clear();
  }, 10);
  ends.push(() => clearInterval(timer));
  const port = startProxy(floorPort(), (frame, send) => {
    if (!frame.startsWith('{"t":"receipt"')) return send(frame);
    receipts++;
    waiting.set(send, frame);
  });
  const load = await connectedLoad(port, 1);
  const figures = await load.openLoop(1000, 10, 100);
  expect(figures.delivered).toBeGreaterThan(0);
  expect(receiptsSent).toBeLessThan(receipts);
});

test("a server that changes a text is caught", async () => {
  const port = startProxy(floorPort(), (frame, send) =>
    send(frame.startsWith('{"t":"message"') ? frame.replace('"text":"', '"text":"!') : frame),
  );
  const load = await connectedLoad(port);
  await expect(load.closedLoop(1, 10, 50)).rejects.toThrow("message 0 of");
});

test("a server that hands over a message twice is caught", async () => {
  const port = startProxy(floorPort(), (frame, send) => {
    send(frame);
    if (frame.startsWith('{"t":"message"')) send(frame);
  });
  const load = await connectedLoad(port, 1);
  await expect(load.closedLoop(1, 10, 50)).rejects.toThrow(/got seq (\d+) after \1$/);
});

test("one lost message fails the run", async () => {
  let messages = 0;
  const port = startProxy(floorPort(), (frame, send) => {
    if (frame.startsWith('{"t":"message"') && ++messages === 13) return;
    send(frame);
  });
  const load = await connectedLoad(port);
  await expect(load.openLoop(300, 10, 100)).rejects.toThrow(
    /got \d+ messages, \w+ sent \d+|1 messages were not delivered/,
  );
});

test("a refused send fails the run with what the server said", async () => {
  const port = startProxy(floorPort(), (frame, send) =>
    send(
      frame.startsWith('{"t":"sent"') ? '{"t":"error","ref":"b1-0","code":"rate_limited","detail":"too fast"}' : frame,
    ),
  );
  const load = await connectedLoad(port);
  await expect(load.closedLoop(1, 10, 50)).rejects.toThrow("rate_limited");
});
