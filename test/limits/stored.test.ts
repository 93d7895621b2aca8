/** What a user stores has a bound, where the operator wants one. */
import { afterEach, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { inspectCommand } from "../../src/cli/inspect.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const MIB = 1 << 20;
const TEXT = "x".repeat(16_384);
const FULL = MIB / TEXT.length;
/** Half of the calls that a user may have under way. */
const AT_ONCE = 8;

let node: TestNode;
let ann: Credentials;
let ben: Credentials;

async function start(userMb: number | undefined): Promise<void> {
  node = await startTestNode({ userMb });
  [ann, ben] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
  await node.api.group(ben, "club", ["ann"]);
}
afterEach(() => node.stop());

let refs = 0;
const send = (who: Credentials, to: string, text = TEXT) =>
  node.api.post("/v1/messages", who.token, { to, text, ref: `r-${++refs}` });

/** Half of it to somebody, half of it to a group. */
async function fill(who: Credentials, to: string): Promise<void> {
  for (let n = 0; n < FULL; n += AT_ONCE) {
    const sends = Array.from({ length: AT_ONCE }, (_, i) => send(who, i % 2 === 0 ? to : "#club"));
    for (const { status } of await Promise.all(sends)) expect(status).toBe(201);
  }
}

async function inspected(user: string): Promise<number> {
  let out = "";
  const io = { env: {}, stdout: (text: string) => void (out += text), stderr: () => {} };
  await inspectCommand().run(["user", user, "--data", node.dataDirectory, "--json"], io);
  return (JSON.parse(out) as { textBytes: number }).textBytes;
}

test("who has written as much as the quota is refused everywhere, and those they wrote to are not", async () => {
  await start(1);
  const phone = await node.connect(ann);
  expect(phone.greeting!.limits.storedBytesMax).toBe(MIB);
  await fill(ann, "@ben");
  const { status, body } = await send(ann, "@ben", "one more");
  expect([status, body.code]).toEqual([429, "quota_exceeded"]);
  expect(body.detail).toContain(`${MIB} bytes`);
  phone.send({ t: "send", ref: "s-1", to: "#club", text: "one more" });
  expect(await phone.take("error")).toMatchObject({ ref: "s-1", code: "quota_exceeded" });
  expect((await send(ann, "@ann", "a note")).status).toBe(429);
  expect((await send(ben, "@ann", "not mine")).status).toBe(201);
  expect((await send(ben, "#club")).status).toBe(201);
  expect(await inspected("ann")).toBe(MIB);
});

test("a message that was taken is a repeat also for somebody who is refused", async () => {
  await start(1);
  await fill(ann, "@ben");
  const first = { to: "@ben", text: TEXT, ref: `r-${refs - FULL + 1}` };
  expect((await send(ann, "@ben")).status).toBe(429);
  expect(await node.api.post("/v1/messages", ann.token, first)).toMatchObject({
    status: 200,
    body: { duplicate: true },
  });
});

test.each([
  ["a restart", () => node.restart()],
  ["a time without a quota", () => node.restart({ userMb: undefined }).then(() => node.restart())],
])("the quota holds over %s", async (_, again) => {
  await start(1);
  await fill(ann, "@ben");
  await again();
  // Until the count is there, the first ones are taken.
  await until("ann is refused", async () => (await send(ann, "@ben", "more")).status === 429);
  expect((await send(ben, "@ann", "hello")).status).toBe(201);
});

test("what is erased can be written again", async () => {
  await start(1);
  await fill(ann, "@ben");
  expect((await send(ann, "@ben")).status).toBe(429);
  expect((await node.api.post("/v1/me/erasure", ann.token, { user: "ann" })).status).toBe(202);
  await until("ann can write again", async () => (await send(ann, "#club")).status === 201);
});

test("without a quota nobody is refused, and clients hear of none", async () => {
  await start(undefined);
  const phone = await node.connect(ann);
  expect(phone.greeting!.limits.storedBytesMax).toBeUndefined();
  await fill(ann, "@ben");
  expect((await send(ann, "@ben")).status).toBe(201);
});
