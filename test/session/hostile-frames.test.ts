import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import fc from "fast-check";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { ErrorFrame } from "../../src/protocol/frames.ts";
import { Device } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { within } from "../support/wait.ts";
import { seeded } from "../support/seed.ts";

let node: TestNode;
let alice: Credentials;
let bob: Credentials;
/** A pair that only talks to each other, all the time. */
let good: { one: Device; other: Device };
let talked = 0;

beforeAll(async () => {
  node = await startTestNode();
  [alice, bob] = (await node.api.users("alice", "bob")) as [Credentials, Credentials];
  const [carol, dave] = await node.api.users("carol", "dave");
  good = { one: await node.connect(carol!), other: await node.connect(dave!) };
});
afterAll(() => node.stop());

/** The good pair's conversation goes on: nothing lost, nothing refused. */
async function talk(): Promise<void> {
  const text = `sentence ${++talked}`;
  const sent = await good.one.say("@dave", text);
  expect(sent.seq).toBe(talked);
  expect(await good.other.take("message")).toMatchObject({ text, seq: talked });
}
afterEach(talk);

let device: Device;
beforeEach(async () => {
  device = await node.connect(alice);
});

async function refusal(raw: string | Uint8Array<ArrayBuffer>): Promise<ErrorFrame> {
  device.raw(raw);
  return device.take("error");
}

const send = (changes: object): string =>
  JSON.stringify({ t: "send", ref: "r-1", to: "@bob", text: "hello", ...changes });

describe("a frame that is not what it should be is refused, and the connection stays", () => {
  afterEach(async () => {
    expect((await device.say("@alice", "still here")).conversation).toBe("@alice");
    await device.close();
  });

  test.each([
    ["no JSON", "hello"],
    ["nothing", ""],
    ["half a JSON", '{"t":"ping"'],
    ["two frames in one", '{"t":"ping"}{"t":"ping"}'],
    ["a NUL", '{"t":"ping"}\u0000'],
    ["an array", '[{"t":"ping"}]'],
    ["a number", "7"],
    ["null", "null"],
    ["true", "true"],
    ["a string", '"ping"'],
    ["no type", "{}"],
    ["a type that is no string", '{"t":7}'],
    ["a null type", '{"t":null}'],
    ["an unknown type", '{"t":"subscribe"}'],
    ["a type of Object's own", '{"t":"constructor"}'],
    ["a type of __proto__ only", '{"__proto__":{"t":"ping"}}'],
    ["a server's type", '{"t":"welcome"}'],
    ["a type deeply nested", `{"t":${"[".repeat(20_000)}${"]".repeat(20_000)}}`],
    ["deep nesting", `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`],
    ["deep nesting that never ends", "[".repeat(60_000)],
    ["hello again", '{"t":"hello","token":"x"}'],
  ])("%s", async (_, raw) => {
    expect(await refusal(raw)).toMatchObject({ t: "error", code: "bad_request" });
  });

  test.each([
    ["no ref", { ref: undefined }],
    ["a ref that is a number", { ref: 7 }],
    ["an empty ref", { ref: "" }],
    ["a ref of 65", { ref: "x".repeat(65) }],
    ["a ref with a newline", { ref: "a\nb" }],
    ["a ref with a NUL", { ref: "a\u0000b" }],
    ["a ref with an umlaut", { ref: "ä" }],
    ["a ref that is an object", { ref: { toString: "x" } }],
  ])("send with %s, told without a ref", async (_, changes) => {
    const error = await refusal(send(changes));
    expect(error).toMatchObject({ code: "bad_request" });
    expect(error.ref).toBeUndefined();
  });

  test.each([
    ["no address", { to: undefined }],
    ["an address that is a number", { to: 7 }],
    ["an address that is an array", { to: ["@bob"] }],
    ["a bare name", { to: "bob" }],
    ["an empty name", { to: "@" }],
    ["a name of 33", { to: `@${"b".repeat(33)}` }],
    ["capitals", { to: "@Bob" }],
    ["a name that begins with a dot", { to: "@.bob" }],
    ["a shard's own stream", { to: "$shard" }],
    ["a newline behind the name", { to: "@bob\n" }],
    ["a path", { to: "@../../etc" }],
    ["no text", { text: undefined }],
    ["a text that is null", { text: null }],
    ["a text that is an object", { text: { a: 1 } }],
    ["an empty text", { text: "" }],
    ["a lone surrogate", { text: "a\ud800b" }],
    ["a lone low surrogate", { text: "\udc00" }],
    ["retry that is a string", { retry: "yes" }],
    ["retry that is a number", { retry: 1 }],
  ])("send with %s, told with its ref", async (_, changes) => {
    expect(await refusal(send(changes))).toMatchObject({ code: "bad_request", ref: "r-1" });
  });

  test.each([
    ["received without seq", { t: "received" }],
    ["received with a text", { t: "received", seq: "1" }],
    ["received below 0", { t: "received", seq: -1 }],
    ["received with a fraction", { t: "received", seq: 0.5 }],
    ["received with 2^53", { t: "received", seq: 2 ** 53 }],
    ["received with 2^48", { t: "received", seq: 2 ** 48 }],
    ["received beyond the head", { t: "received", seq: 1_000_000 }],
    ["received of a nameless group", { t: "received", conversation: "#", seq: 1 }],
    ["received of null", { t: "received", conversation: null, seq: 1 }],
    ["read of nothing", { t: "read", seq: 1 }],
    ["read with null", { t: "read", conversation: "@alice", seq: null }],
    ["read beyond the head", { t: "read", conversation: "@alice", seq: 1_000_000 }],
  ])("%s", async (_, frame) => {
    expect(await refusal(JSON.stringify(frame))).toMatchObject({ code: "bad_request" });
  });

  test("a type that is nested as deep as a frame can be costs no more than reading the frame", async () => {
    const nested = "[".repeat(32_000) + "]".repeat(32_000);
    const answered = async (raw: string, answer: "error" | "pong"): Promise<number> => {
      const startedAt = performance.now();
      for (let n = 0; n < 4; n++) device.raw(raw);
      await device.takeMany(answer, 4);
      return performance.now() - startedAt;
    };
    const read = await answered(`{"t":"ping","x":${nested}}`, "pong");
    expect(await answered(`{"t":${nested}}`, "error")).toBeLessThan(20 * Math.max(10, read));
  });

  test("numbers that JSON allows and nobody means", async () => {
    for (const seq of ["1e400", "-0.1", "1e-5", "99999999999999999999"]) {
      expect(await refusal(`{"t":"received","seq":${seq}}`)).toMatchObject({ code: "bad_request" });
    }
  });

  test("binary", async () => {
    expect(await refusal(new TextEncoder().encode('{"t":"ping"}'))).toMatchObject({ code: "bad_request" });
    expect(await refusal(new Uint8Array(1000))).toMatchObject({ code: "bad_request" });
  });

  test("a frame of 70 KB, and a text above its limit, are too large", async () => {
    expect(await refusal(send({ text: "x".repeat(70_000) }))).toMatchObject({ code: "too_large" });
    expect(await refusal(send({ text: "x".repeat(16_385) }))).toMatchObject({ code: "too_large", ref: "r-1" });
    expect(await refusal(send({ text: "€".repeat(5462) }))).toMatchObject({ code: "too_large", ref: "r-1" });
    expect(await refusal(`{"t":"ping"${" ".repeat(65_536)}}`)).toMatchObject({ code: "too_large" });
  });

  test("unknown users and groups", async () => {
    expect(await device.ask("@nobody", "hello")).toMatchObject({ t: "error", code: "unknown_address" });
    expect(await device.ask("#nowhere", "hello")).toMatchObject({ t: "error", code: "unknown_address" });
    expect(await device.ask("@constructor", "hello")).toMatchObject({ t: "error", code: "unknown_address" });
  });
});

describe("odd frames that are valid are served", () => {
  afterEach(() => device.close());

  test("texts come out as they went in, up to the limit", async () => {
    const receiver = await node.connect(bob);
    const texts = [
      "\u0000",
      "a\u0000b\u001f\u007f\u0085",
      "line\nbreak\r\ttab",
      '"}{"t":"bye"}',
      "\\u0041 \\ \\\\",
      "\u2028\u2029\ufeff\ufffe\uffff",
      "🎈👩‍👩‍👧‍👦 \u202e",
      "x".repeat(16_384),
      "€".repeat(5461),
      "\u0001".repeat(10_000),
      "😀".repeat(4096),
    ];
    for (const text of texts) {
      await device.say("@bob", text);
      expect((await receiver.take("message")).text).toBe(text);
    }
    const stored = await node.api.history(alice, "@bob");
    expect(stored.slice(-texts.length).map(({ text }) => text)).toEqual(texts);
    await receiver.close();
  });

  test("of duplicate keys the last counts, and keys that nobody knows are ignored", async () => {
    device.raw('{"t":"ping","t":"send","ref":"x","ref":"dup-1","to":"@nobody","to":"@alice","text":7,"text":"hello"}');
    expect(await device.take("sent")).toMatchObject({ ref: "dup-1", conversation: "@alice" });
    device.raw(
      send({ ref: "proto-1", to: "@alice", ["__proto__"]: null, constructor: 1, toJSON: 2, hasOwnProperty: 3 }),
    );
    expect((await device.take("sent")).ref).toBe("proto-1");
    device.raw('{"t":"send","ref":"proto-2","to":"@alice","text":"x","__proto__":{"retry":true,"polluted":1}}');
    expect((await device.take("sent")).ref).toBe("proto-2");
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  test("retry false is no retry", async () => {
    device.raw(send({ ref: "retry-1", to: "@alice", retry: false }));
    expect((await device.take("sent")).duplicate).toBeUndefined();
  });

  test("a ping is answered, in turn with everything else", async () => {
    for (let n = 0; n < 3; n++) {
      device.send({ t: "ping" });
      await device.take("pong");
    }
    device.raw('{"t":"ping","extra":{"deep":[1,2,3]}}');
    await device.take("pong");
  });
});

describe("what ends a connection ends that one alone", () => {
  test("a frame of 2 MB", async () => {
    const other = await node.connect(bob);
    device.raw(send({ text: "x".repeat(2 << 20) }));
    await device.end();
    expect(await other.untaken()).toEqual([]);
    await other.close();
  });

  test("frames refused without end: 4503", async () => {
    for (let n = 0; n < 200; n++) device.raw("nonsense");
    expect(await device.end()).toMatchObject({ code: 4503 });
    expect(device.frames.at(-1)).toMatchObject({ t: "bye", code: 4503 });
    expect(device.all("error").length).toBeGreaterThan(10);
    expect(device.all("error").length).toBeLessThan(200);
  });

  test("but not frames of the contract that this version does not serve", async () => {
    for (let n = 0; n < 200; n++) device.raw('{"t":"watch","users":["bob"]}');
    for (let n = 0; n < 200; n++) device.raw('{"t":"typing","to":"@bob"}');
    device.send({ t: "ping" });
    await device.take("pong");
    expect(device.all("error")).toHaveLength(200);
  });

  test("bytes that are no HTTP", async () => {
    const garbage = [
      "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001",
      "hello\r\n\r\n",
      "GET\r\n\r\n",
      "\r\n\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "\u0000".repeat(5000),
    ];
    for (const bytes of garbage) await sendRaw(node.port, Buffer.from(bytes, "latin1"));
    await sendRaw(node.port, Buffer.from(crypto.getRandomValues(new Uint8Array(20_000))));
    await device.close();
  });

  test("bytes that are no WebSocket frames, after a good handshake", async () => {
    const head =
      "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const frames = {
      unmasked: [0x81, 0x02, 0x7b, 0x7d],
      "an unknown opcode": [0x83, 0x80, 0, 0, 0, 0],
      "reserved bits": [0xf1, 0x80, 0, 0, 0, 0],
      "a long control frame": [0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0],
      "a part of a message that never began": [0x80, 0x80, 0, 0, 0, 0],
      "a length of 2^63": [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
      "text that is no UTF-8": [0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe],
      "a close code that is none": [0x88, 0x82, 0, 0, 0, 0, 0x00, 0x01],
    };
    for (const bytes of Object.values(frames))
      await sendRaw(node.port, Buffer.concat([Buffer.from(head), Buffer.from(bytes)]));
    await device.close();
  });
});

/** Sends bytes and waits until the server has ended the connection, or has answered; then ends it. */
function sendRaw(port: number, bytes: Buffer): Promise<void> {
  const gone = new Promise<void>((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.end(bytes));
    socket.on("data", () => {});
    socket.on("error", () => {});
    socket.on("close", () => resolve());
  });
  return within("the connection to end", gone);
}

describe("random frames", () => {
  const names = fc.constantFrom("@alice", "@bob", "#nowhere", "@", "", "@eve");
  const numbers = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, 1, 2 ** 48, 2 ** 53, -1));
  const field = fc.oneof(
    { weight: 3, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) },
    { weight: 3, arbitrary: numbers },
    { weight: 2, arbitrary: names },
    fc.jsonValue({ maxDepth: 3 }),
  );
  const frame = fc.record(
    {
      t: fc.oneof(fc.constantFrom("send", "received", "read", "ping", "hello", "edit", "watch"), fc.string()),
      ref: field,
      to: field,
      text: field,
      seq: field,
      conversation: field,
      token: field,
      cursor: fc.oneof(
        field,
        fc.record({ epoch: field, timeline: field, groups: fc.dictionary(fc.string(), field) }, { requiredKeys: [] }),
      ),
      retry: field,
    },
    { requiredKeys: ["t"] },
  );
  const mutilated = fc.tuple(frame, fc.nat(), fc.string({ unit: "binary", maxLength: 3 })).map(([value, at, noise]) => {
    const text = JSON.stringify(value);
    const place = at % (text.length + 1);
    return text.slice(0, place) + noise + text.slice(place + noise.length);
  });
  const raw = fc.oneof(
    frame.map((value) => JSON.stringify(value)),
    mutilated,
    fc.json({ maxDepth: 4 }),
    fc.string({ unit: "binary" }),
  );
  /** Texts that go over a socket are well-formed. */
  const sendable = raw.map((text) => text.toWellFormed());

  test("never end the server, never go unanswered without reason, and never disturb others", async () => {
    await device.close();
    const eve = await node.api.user("eve");
    await fc.assert(
      fc.asyncProperty(fc.array(sendable, { minLength: 1, maxLength: 40 }), fc.boolean(), async (frames, saysHello) => {
        const fuzzing = saysHello ? await node.connect(eve) : await Device.open(node.url);
        for (const text of frames) fuzzing.raw(text);
        // An answer or the end: the connection is never left hanging.
        if (saysHello) await fuzzing.untaken().catch(() => fuzzing.end());
        else await fuzzing.end();
        for (const answer of fuzzing.frames)
          expect(["welcome", "error", "sent", "message", "pong", "bye"]).toContain(answer.t);
        for (const { code } of fuzzing.all("error")) expect(code).not.toBe("internal");
        fuzzing.terminate();
        await talk();
      }),
      seeded(60),
    );
    expect(good.one.all("error")).toEqual([]);
    expect(good.other.all("message")).toHaveLength(talked);
  });
});

describe("an upgrade", () => {
  const lines = ["Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13"];
  const statusOf = (more: string[]): Promise<string> =>
    new Promise((resolve) => {
      const head = ["GET /v1/ws HTTP/1.1", ...lines, ...more].join("\r\n");
      const socket = connect(node.port, "127.0.0.1", () => socket.write(`${head}\r\n\r\n`));
      socket.once("data", (data) => {
        socket.destroy();
        resolve(data.toString("latin1").split(" ")[1]!);
      });
    });

  test.each([
    ["without Connection", ["Host: a"], "400"],
    ["with another Connection", ["Host: a", "Connection: keep-alive"], "400"],
    ["with two Hosts", ["Host: a", "Host: b", "Connection: Upgrade"], "400"],
    ["with all that it needs", ["Host: a", "Connection: keep-alive, Upgrade"], "101"],
  ])("%s is answered with what it deserves", async (_, more, status) => {
    expect(await statusOf(more)).toBe(status);
  });
});
