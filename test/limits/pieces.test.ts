/** What comes on a WebSocket and the runtime tells nobody of. The kernel counts it, on Linux. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { CLOSED_LOOK_EVERY_MS } from "../../src/node/closed-sockets.ts";
import { Device } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until, within } from "../support/wait.ts";

/** Nobody is ended for being late: not for a `hello`, and not for a close that drags on. */
const TIMEOUTS_MS = [5000, CLOSED_LOOK_EVERY_MS];
const clock: Clock = {
  ...systemClock,
  after: (ms, run) => (TIMEOUTS_MS.includes(ms) ? () => {} : systemClock.after(ms, run)),
};

const masked = (first: number, payload: Uint8Array): Buffer => {
  const { length } = payload;
  const head = length < 126 ? [first, 128 | length] : [first, 254, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), payload]);
};
const NOTHING = new Uint8Array();
const TEXT = 1;
const BINARY = 2;
const CONTINUED = 0;
const LAST = 128;

let node: TestNode;
let looks = 0;
beforeAll(async () => {
  const counting: Clock = { ...clock, after: (ms, run) => clock.after(ms, () => (looks++, run())) };
  node = await startTestNode({}, { clock: counting, readWatchTimes: { everyMs: 5, busyShare: 0 } });
});
afterAll(() => node.stop());

class RawSocket {
  isClosed = false;
  came = "";
  readonly #socket: Socket;

  constructor(token: string | undefined) {
    // It does not end when the server has said that it closes.
    this.#socket = connect({ port: node.port, host: "127.0.0.1", allowHalfOpen: true });
    this.#socket.on("data", (data: Buffer) => (this.came += data.toString("latin1")));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => (this.isClosed = true));
    const head = ["GET /v1/ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"];
    const rest = ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""];
    this.#socket.write([...head, ...rest].join("\r\n"));
    if (token !== undefined) this.write(masked(LAST | TEXT, Buffer.from(JSON.stringify({ t: "hello", token }))));
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** Writes it again and again until the server has ended the connection. */
  async floodWith(bytes: Buffer): Promise<void> {
    const closed = new Promise((done) => this.#socket.once("close", done));
    await until(
      "the server has ended it",
      async () => {
        const written = new Promise((done) => this.#socket.write(bytes, done));
        await within("a write", Promise.race([closed, written]));
        return this.isClosed;
      },
      // Sooner than the runtime would.
      10_000,
    );
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

const pieces = Buffer.alloc(6 * 20_000, masked(CONTINUED, NOTHING));

describe("frames:", () => {
  test("a frame in pieces without end closes the connection", async () => {
    const [ann] = await node.api.users("ann");
    const socket = new RawSocket(ann!.token);
    socket.write(masked(TEXT, NOTHING));
    await socket.floodWith(pieces);
    // As whoever floods with whole frames.
    const again = await Device.open(node.url);
    again.send({ t: "hello", token: ann!.token });
    expect((await again.end()).code).toBe(4003);
  });

  test("that of a stranger, too", async () => {
    const socket = new RawSocket(undefined);
    socket.write(masked(TEXT, NOTHING));
    await socket.floodWith(pieces);
    expect(socket.isClosed).toBe(true);
  });

  test("who goes on after a close is ended at once", async () => {
    const socket = new RawSocket(undefined);
    socket.write(masked(LAST | BINARY, Buffer.from("no hello")));
    await until("it was told", () => socket.came.includes("4501"));
    await socket.floodWith(Buffer.alloc(1 << 20));
    expect(socket.isClosed).toBe(true);
  });

  test("messages in pieces that end are taken, however small the pieces", async () => {
    const [ben] = await node.api.users("ben");
    const socket = new RawSocket(ben!.token);
    const text = Buffer.from(JSON.stringify({ t: "send", ref: "r1", to: "@ben", text: "й".repeat(7000) }));
    const parts = Array.from({ length: Math.ceil(text.length / 3) }, (_, n) => text.subarray(3 * n, 3 * n + 3));
    const frames = parts.map((part, n) =>
      masked((n === 0 ? TEXT : CONTINUED) | (n + 1 === parts.length ? LAST : 0), part),
    );
    // Their heads are less than what one message under way may take: however the looks fall, nobody is charged.
    for (let n = 0; n < 6; n++) socket.write(Buffer.concat(frames));
    await until("all are answered", () => socket.came.split(`"t":"sent"`).length > 6);
    expect(socket.isClosed).toBe(false);
    socket.destroy();
  });

  test("a frame that is under way for long is not in anybody's way", async () => {
    const [cem] = await node.api.users("cem");
    const socket = new RawSocket(cem!.token);
    const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
    socket.write(Buffer.concat([head, Buffer.alloc(0x1fff0, "x")]));
    const before = looks;
    await until("it was looked at a few times", () => looks > before + 30);
    socket.write(Buffer.alloc(0xf, "x"));
    await until("it is answered", () => socket.came.includes("too_large"));
    expect(socket.isClosed).toBe(false);
    socket.destroy();
  });
});
