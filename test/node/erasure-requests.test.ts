/** Requests to erase: at the same moment, and by a clock that jumps. */
import { afterEach, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const DAY_MS = 86_400_000;

let node: TestNode;
let movedMs = 0;
let restedMs = 0;
const clock: Clock = {
  ...systemClock,
  now: () => systemClock.now() + movedMs,
  monotonicMs: () => systemClock.monotonicMs() + restedMs,
};

afterEach(() => node.stop());

async function erased(user: string) {
  let status = { state: "", requestedAt: 0, entries: 0 };
  await until(`the content of ${user} is erased`, async () => {
    status = (await node.api.keyed("GET", `/v1/users/${user}/erasure`)).body;
    return status.state === "done";
  });
  return status;
}

const said = (who: Credentials, to: string, text: string) =>
  node.api.post("/v1/messages", who.token, { to, text, ref: text });

test("requests that come while the first is written are the same request: everything from before its time is erased", async () => {
  const faults = new FaultyFiles();
  node = await startTestNode({}, { files: faults.files });
  const [ann, ben] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
  await said(ann, "@ben", "first");
  const ask = () => node.api.post("/v1/me/erasure", ann.token, { user: "ann" });
  faults.hold();
  const first = ask();
  await faults.held();
  const device = await node.connect(ann);
  device.post("@ben", "second");
  await device.untaken();
  const askedAt = Date.now();
  await until("the clock has gone on", () => Date.now() > askedAt + 5);
  const second = ask();
  // The second has been taken in when this is answered.
  await node.api.get("/v1/me/erasure", ann.token);
  faults.release();
  const answers = [await first, await second];
  const done = await erased("ann");
  expect(answers.map(({ status, body }) => [status, body.requestedAt])).toEqual([
    [202, done.requestedAt],
    [202, done.requestedAt],
  ]);
  expect(done.entries).toBe(2);
  const history = await node.api.history(ben, "@ann");
  expect(history.map(({ seq, deletedAt }) => [seq, deletedAt !== undefined])).toEqual([
    [1, true],
    [2, false],
  ]);
});

test("a user may ask again ten minutes after the last request was done, whatever the clock shows", async () => {
  node = await startTestNode({}, { clock });
  const [ann] = (await node.api.users("ann", "ben")) as [Credentials];
  const ask = async () => (await node.api.post("/v1/me/erasure", ann.token, { user: "ann" })).status;
  await said(ann, "@ben", "one");
  movedMs = 30 * DAY_MS;
  expect(await ask()).toBe(202);
  await erased("ann");
  for (const wallMs of [30, 31, -10_000, 0]) {
    movedMs = wallMs * DAY_MS;
    expect([wallMs, await ask()]).toEqual([wallMs, 429]);
  }
  restedMs = 9 * 60_000;
  const { body } = await node.api.post("/v1/me/erasure", ann.token, { user: "ann" });
  expect(body.retryAfterMs).toBeLessThanOrEqual(60_000);
  restedMs = 10 * 60_000;
  await said(ann, "@ben", "two");
  expect(await ask()).toBe(202);
  expect((await erased("ann")).entries).toBe(2);
  expect(await ask()).toBe(429);
  // How long the server was down nobody can tell.
  await node.restart();
  expect(await ask()).toBe(202);
});
