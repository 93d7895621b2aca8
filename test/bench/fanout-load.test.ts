import { afterEach, expect, test } from "bun:test";
import { FanoutLoad } from "../../bench/load/fanout-load.ts";
import { startFanoutServer } from "../../bench/servers/fanout-server.ts";
import { proxyOf, type ChangeFrame } from "./proxy.ts";

const LINES = ["one", 'two "seq":7 \\ "t":"sent"', "drei – ünïcödé ✓"];
const MEMBERS = 5;
const ROUND = { address: "#small", inFlight: 2, warmUpMs: 10, measureMs: 60 };
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function connectedLoad(change: ChangeFrame): Promise<FanoutLoad> {
  const server = startFanoutServer();
  ends.unshift(() => server.stop(true));
  const proxy = proxyOf(server.port as number, change);
  ends.unshift(() => proxy.stop(true));
  const load = new FanoutLoad(300);
  ends.unshift(() => load.end());
  await load.connect({
    ...{ hostname: "127.0.0.1", port: proxy.port as number, serverPid: process.pid, lines: LINES },
    users: Array.from({ length: MEMBERS }, (_, at) => ({ user: `m${at}`, token: `m${at}` })),
    groups: [
      { address: "#small", members: 3 },
      { address: "#all", members: MEMBERS },
    ],
  });
  return load;
}

test("a post counts once for every other member of its group, and no more", async () => {
  const load = await connectedLoad((frame, send) => send(frame));
  const small = await load.round(ROUND);
  expect(small.posts).toBeGreaterThan(0);
  expect(small.delivered).toBe(small.posts * 2);
  const all = await load.round({ ...ROUND, address: "#all" });
  expect(all.delivered).toBe(all.posts * (MEMBERS - 1));
  expect(all.p99Ms).toBeGreaterThanOrEqual(all.p50Ms);
});

test("a message that one member does not get fails the run", async () => {
  let messages = 0;
  const load = await connectedLoad((frame, send) => {
    if (!frame.startsWith('{"t":"message"') || ++messages !== 7) send(frame);
  });
  await expect(load.round(ROUND)).rejects.toThrow(/did not reach all members|no post was completed/);
});

test("a message that one member gets twice fails the run", async () => {
  let messages = 0;
  const load = await connectedLoad((frame, send) => {
    send(frame);
    if (frame.startsWith('{"t":"message"') && ++messages === 7) send(frame);
  });
  await expect(load.round(ROUND)).rejects.toThrow("did not reach all members");
});

test("a refused post fails the run with what the server said", async () => {
  const load = await connectedLoad((frame, send) =>
    send(frame.startsWith('{"t":"sent"') ? '{"t":"error","code":"rate_limited"}' : frame),
  );
  await expect(load.round(ROUND)).rejects.toThrow("rate_limited");
});
