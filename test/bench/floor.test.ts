import { afterEach, expect, test } from "bun:test";
import { startFloor } from "../../bench/servers/floor-server.ts";
import { WebSocketClient } from "../../bench/load/websocket-client.ts";
import { until } from "../support/wait.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

type Frame = Record<string, unknown> & { t: string };

/** What one user of a floor gets, chunk by chunk as it comes from the kernel. */
class Listener {
  readonly chunks: Frame[][] = [];
  #chunk: Frame[] = [];
  readonly client: WebSocketClient;

  constructor(port: number, user: string) {
    this.client = new WebSocketClient("127.0.0.1", port, {
      onOpen: () => this.client.write(JSON.stringify({ t: "hello", token: user })),
      onText: (_, input, start, end) => this.#chunk.push(JSON.parse(input.toString("utf8", start, end)) as Frame),
      onChunkEnd: () => {
        if (this.#chunk.length > 0) this.chunks.push(this.#chunk);
        this.#chunk = [];
      },
      onClose: () => {},
    });
    ends.unshift(() => this.client.close());
  }

  async connect(): Promise<void> {
    await this.client.connect();
    await until("it is welcome", () => this.chunks.length > 0);
    this.chunks.length = 0;
  }
}

async function annAndBob(): Promise<{ ann: Listener; bob: Listener }> {
  const floor = startFloor();
  ends.unshift(() => floor.stop(true));
  const port = floor.port as number;
  const [ann, bob] = [new Listener(port, "ann"), new Listener(port, "bob")];
  await Promise.all([ann.connect(), bob.connect()]);
  return { ann, bob };
}

const send = (ref: string, text: string): string => JSON.stringify({ t: "send", ref, to: "@bob", text });

test("the floor does the five frames with the fields of the protocol, whatever the text", async () => {
  const { ann, bob } = await annAndBob();
  const text = 'a "quote", a \\, ünïcödé ✓ and\na line';
  ann.client.write(JSON.stringify({ t: "ping" }));
  ann.client.write('{"t":"send","ref":"r-1","to":"@bob","text":', Buffer.from(`${JSON.stringify(text)}}`));
  ann.client.flush();
  await until("both have heard", () => ann.chunks.length > 0 && bob.chunks.length > 0);
  const placed = { id: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/), seq: 1, sentAt: expect.any(Number) };
  expect(ann.chunks.flat()).toEqual([{ t: "pong" }, { t: "sent", ref: "r-1", conversation: "@bob", ...placed }]);
  expect(bob.chunks.flat()).toEqual([{ t: "message", conversation: "@ann", from: "ann", text, ...placed }]);
  bob.client.write(JSON.stringify({ t: "received", seq: 1 }));
  bob.client.flush();
  await until("the receipt is there", () => ann.chunks.flat().length === 3);
  expect(ann.chunks.flat().at(-1)).toEqual({
    ...{ t: "receipt", kind: "delivered", conversation: "@bob", by: "bob" },
    ...{ seq: 1, mark: 1 },
  });
});

test("frames of one turn leave the floor in one write to each socket, each a frame of its own", async () => {
  const { ann, bob } = await annAndBob();
  for (let n = 0; n < 20; n++) ann.client.write(send(`r-${n}`, `text ${n}`));
  ann.client.flush();
  await until("all have come", () => ann.chunks.flat().length === 20 && bob.chunks.flat().length === 20);
  expect([ann.chunks.length, bob.chunks.length]).toEqual([1, 1]);
  expect(bob.chunks[0]!.map(({ text }) => text)).toEqual(Array.from({ length: 20 }, (_, n) => `text ${n}`));
});
