/** The budget of frames, with the clock in the test's hand, and on real sockets. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { FrameBuckets, FrameBudget } from "../../src/home/session/frame-budget.ts";
import { FrameTurns, type TurnTaker } from "../../src/home/session/frame-turns.ts";
import { HandClock } from "../home/hand-clock.ts";
import { Device } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until, within } from "../support/wait.ts";

const RATES = { frames: { perSecond: 100, burst: 200 }, bytes: { perSecond: 10_000, burst: 20_000 } };
/** As the first ones may pass without being looked at. */
const SLICE = 32;

describe("frames:", () => {
  test("within the rate all are acted on, for ever", () => {
    const clock = new HandClock();
    const budget = new FrameBudget(RATES, clock);
    for (let n = 0; n < 5000; n++) {
      expect(["act", "wait"]).toContain(budget.spend(50));
      clock.advance(10);
    }
  });

  test("a burst passes, more is refused with the time to wait, and after it they pass again", () => {
    const clock = new HandClock();
    const budget = new FrameBudget(RATES, clock);
    const verdicts = Array.from({ length: 300 }, () => budget.spend(1));
    const passed = verdicts.filter((verdict) => verdict === "act" || verdict === "wait").length;
    expect(passed).toBeGreaterThanOrEqual(200);
    expect(passed).toBeLessThanOrEqual(200 + SLICE);
    expect(verdicts.at(-1)).toBe("short");
    clock.advance(budget.waitMs);
    expect(["act", "wait"]).toContain(budget.spend(1));
  });

  test("bytes count as well as frames", () => {
    const budget = new FrameBudget(RATES, new HandClock());
    expect(["act", "wait"]).toContain(budget.spend(20_000));
    expect(Array.from({ length: SLICE + 1 }, () => budget.spend(400)).at(-1)).toBe("short");
  });

  test("a whole burst beyond is far beyond", () => {
    const budget = new FrameBudget(RATES, new HandClock());
    const verdicts = Array.from({ length: 600 }, () => budget.spend(1));
    const first = verdicts.indexOf("far-beyond");
    expect(first).toBeGreaterThanOrEqual(400);
    expect(first).toBeLessThanOrEqual(400 + SLICE);
  });

  test("sockets of one user spend from one budget, and other users do not", () => {
    const clock = new HandClock();
    const twice = { frames: { perSecond: 200, burst: 400 }, bytes: RATES.bytes };
    const shared = new FrameBuckets(twice);
    const sockets = Array.from({ length: 4 }, () => {
      const budget = new FrameBudget(RATES, clock);
      budget.share(shared);
      return budget;
    });
    const passed = sockets.map((budget) => {
      const verdicts = Array.from({ length: 200 }, () => budget.spend(1));
      return verdicts.filter((verdict) => verdict === "act" || verdict === "wait").length;
    });
    const all = passed.reduce((sum, count) => sum + count, 0);
    expect(all).toBeGreaterThanOrEqual(400);
    expect(all).toBeLessThanOrEqual(400 + 4 * SLICE);
    expect(new FrameBudget(RATES, clock).spend(1)).toBe("act");
  });

  test("users take turns, and then the sockets of a user; each socket's frames keep their order", async () => {
    const acted: string[] = [];
    const { promise: done, resolve } = Promise.withResolvers<void>();
    class Taker implements TurnTaker {
      #next = 0;
      constructor(
        readonly user: string,
        readonly name: string,
        readonly count: number,
      ) {}
      actOnNext(): boolean {
        acted.push(`${this.name}${++this.#next}`);
        if (acted.length === 9) resolve();
        return this.#next < this.count;
      }
      failed(error: unknown): void {
        throw error;
      }
    }
    const turns = new FrameTurns(new HandClock());
    for (const taker of [new Taker("ann", "a", 3), new Taker("ann", "b", 3), new Taker("ben", "c", 3)])
      turns.add(taker);
    await done;
    expect(acted).toEqual(["a1", "c1", "b1", "c2", "a2", "c3", "b2", "a3", "b3"]);
  });
});

describe("frames:", () => {
  let node: TestNode;
  let ann: Credentials;
  let ben: Credentials;
  beforeAll(async () => {
    node = await startTestNode();
    [ann, ben] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
  });
  afterAll(() => node.stop());

  test("more than the budget are refused with their ref, and far more end the connection", async () => {
    const device = await node.connect(ann);
    const other = await node.connect(ben);
    for (let n = 0; n < 7000; n++) device.raw(`{"t":"received","seq":0}`);
    const ref = device.post("@ben", "too much");
    expect(await device.answerTo(ref)).toMatchObject({ t: "error", code: "rate_limited" });
    for (let n = 0; n < 20_000; n++) device.raw(`{"t":"ping"}`);
    expect((await device.end()).code).toBe(4503);
    expect((await other.say("@ben", "hello")).seq).toBe(1);
  });

  test("whoever went far beyond waits, however often they come back", async () => {
    const [cem] = await node.api.users("cem");
    const device = await node.connect(cem!);
    for (let n = 0; n < 40_000; n++) device.raw(`{"t":"ping"}`);
    await device.end();
    for (let n = 0; n < 3; n++) {
      const again = await Device.open(node.url);
      again.send({ t: "hello", token: cem!.token });
      expect((await again.end()).code).toBe(4003);
      expect(again.all("bye")[0]!.afterMs).toBeGreaterThan(1000);
    }
    await (await node.connect(ben)).close();
  });

  test("a burst of one socket lets others in between, and is answered in its order", async () => {
    const [dan] = await node.api.users("dan");
    const device = await node.connect(dan!);
    const other = await node.connect(ben);
    const refs = Array.from({ length: 900 }, (_, n) => device.post("@dan", `${n}`));
    const said = other.say("@ben", "in between");
    const sent = await device.takeMany("sent", 900);
    expect(sent.map(({ ref }) => ref)).toEqual(refs);
    expect((await said).conversation).toBe("@ben");
  });

  test.each(["ping", "pong"] as const)("a %s of the WebSocket protocol itself counts as well", async (kind) => {
    const [one] = await node.api.users(`one-${kind}`);
    const socket = new WebSocket(`${node.url.replace("http", "ws")}/v1/ws`) as WebSocket &
      Record<typeof kind, () => void>;
    let code = 0;
    socket.addEventListener("close", (event) => (code = event.code));
    const welcome = new Promise((resolve) => socket.addEventListener("message", resolve, { once: true }));
    socket.addEventListener("open", () => socket.send(JSON.stringify({ t: "hello", token: one!.token })));
    await within("welcome", welcome);
    for (let n = 0; n < 40_000; n++) socket[kind]();
    await until("the server has ended it", () => code !== 0);
    expect(code).toBe(4503);
    await (await node.connect(ben)).close();
  });

  test("beyond 128 KiB the connection ends", async () => {
    const device = await Device.open(node.url);
    device.raw("x".repeat((128 << 10) + 1));
    await device.end();
  });

  test("a frame that never ends holds no more than what came of it, and others are served", async () => {
    const sockets = Array.from({ length: 50 }, () => connect(node.port, "127.0.0.1"));
    for (const socket of sockets) {
      socket.on("error", () => undefined);
      socket.write(
        "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      );
      // A head that says 1 MB, and some of it.
      socket.write(
        Buffer.concat([Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 15, 66, 64, 0, 0, 0, 0]), Buffer.alloc(9000, "x")]),
      );
    }
    await until("the server has ended them", () => sockets.every(({ readyState }) => readyState !== "open"));
    await (await node.connect(ben)).close();
    for (const socket of sockets) socket.destroy();
  });
});
