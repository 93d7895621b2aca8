/**
 * Exactly once, whatever the calendar does: the minute in which an unmarked ref is held against repeats is one that
 * passes, not one that a clock shows.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import { PREFIXES_MAX } from "../../src/domain/refs.ts";
import type { Device } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { hasFaults } from "../support/settled-faults.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const HOUR_MS = 3_600_000;
/** More refs without a counter than memory holds. Over a faulty router each costs more. */
const MANY = hasFaults() ? PREFIXES_MAX + 100 : 3000;

/** The system's clock, whose calendar somebody sets. */
let setBy = 0;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + setBy };
const faults = new FaultyFiles();
let node: TestNode;

beforeAll(async () => {
  node = await startTestNode({ sendRate: 100_000, sendBurst: 100_000 }, { clock, files: faults.files });
});
afterAll(() => node.stop());
beforeEach(() => {
  setBy = 0;
});

let people = 0;

async function pair() {
  const [one, other] = await node.api.users(`one${++people}`, `other${people}`);
  await node.api.group(one!, `g${people}`, [other!.user]);
  const addresses: Record<string, string> = { direct: `@${other!.user}`, group: `#g${people}` };
  return { one: one!, addresses };
}

const stored = async (one: Parameters<typeof node.api.history>[0], to: string, ref: string): Promise<number> =>
  (await node.api.history(one, to)).filter((message) => message.ref === ref).length;

/** What a client does that comes back under another name: nothing of it says anything about the refs before. */
const sayElse = (device: Device, to: string): Promise<unknown> => device.say(to, "in between", `${to}/else-1`);

describe.each(["direct", "group"])("an unmarked repeat is one message (%s)", (kind) => {
  test.each([125_000, HOUR_MS, -HOUR_MS, 400 * 24 * HOUR_MS])(
    "when the clock was set by %d ms between the two",
    async (step) => {
      const { one, addresses } = await pair();
      const to = addresses[kind]!;
      const device = await node.connect(one);
      const first = await device.say(to, "hello", "a-1");
      setBy += step;
      await sayElse(device, to);
      expect(await device.say(to, "hello", "a-1")).toEqual({ ...first, duplicate: true });
      expect(await stored(one, to, "a-1")).toBe(1);
    },
  );

  test.each([
    ["an hour ahead", HOUR_MS, 0],
    ["an hour behind", -HOUR_MS, 0],
    ["an hour behind, and set right then", -HOUR_MS, HOUR_MS],
    ["right, and set two minutes ahead then", 0, 125_000],
  ])("when the server was started anew with a clock that was %s", async (_, atStart, later) => {
    const { one, addresses } = await pair();
    const to = addresses[kind]!;
    const refs = ["a-1", "a-2", "b-7", "plain", "m12"];
    const before = await node.connect(one);
    const first = [];
    for (const ref of refs) first.push(await before.say(to, "hello", ref));
    setBy += atStart;
    await node.restart();
    const after = await node.connect(one);
    await sayElse(after, to);
    setBy += later;
    for (const [at, ref] of refs.entries())
      expect(await after.say(to, "hello", ref)).toEqual({ ...first[at]!, duplicate: true });
    expect((await node.api.history(one, to)).filter(({ text }) => text === "hello")).toHaveLength(refs.length);
  });

  test("when it was erased meanwhile and the server started anew", async () => {
    const { one, addresses } = await pair();
    const to = addresses[kind]!;
    const before = await node.connect(one);
    const refs = ["a-1", "a-2", "plain"];
    const first = [];
    for (const ref of refs) first.push(await before.say(to, "hello", ref));
    await node.api.post("/v1/me/erasure", one.token, { user: one.user });
    await until("it is erased", async () => {
      const { body } = await node.api.get("/v1/me/erasure", one.token);
      return body.state === "done";
    });
    await node.restart();
    const after = await node.connect(one);
    for (const [at, ref] of refs.entries()) {
      const { id, seq } = first[at]!;
      expect(await after.say(to, "hello", ref)).toMatchObject({
        id,
        seq,
        duplicate: true,
        deletedAt: expect.any(Number),
      });
    }
    expect((await after.say(to, "hello", "a-3")).duplicate).toBeUndefined();
  });

  test("when more refs without a counter came in between than memory holds", async () => {
    const { one, addresses } = await pair();
    const to = addresses[kind]!;
    const device = await node.connect(one);
    const first = await device.say(to, "hello", "a-1");
    const plain = await device.say(to, "hello", "plain");
    const many = Array.from({ length: MANY }, (_, at) => `${at} of many`);
    for (const ref of many) device.post(to, "in between", ref);
    await device.takeMany("sent", many.length);
    expect(await device.say(to, "hello", "a-1")).toEqual({ ...first, duplicate: true });
    expect(await device.say(to, "hello", "plain")).toEqual({ ...plain, duplicate: true });
  });

  test("while it is on its way with more refs than memory holds", async () => {
    const { one, addresses } = await pair();
    const to = addresses[kind]!;
    const device = await node.connect(one);
    const many = ["a-1", "plain", ...Array.from({ length: MANY }, (_, at) => `${at} of many`)];
    faults.hold();
    try {
      for (const ref of [...many, "a-1", "plain"]) device.post(to, "hello", ref);
      await faults.held();
      await device.untaken();
    } finally {
      faults.release();
    }
    const sent = await device.takeMany("sent", many.length + 2);
    expect(
      sent
        .filter(({ duplicate }) => duplicate === true)
        .map(({ ref }) => ref)
        .toSorted(),
    ).toEqual(["a-1", "plain"]);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(many.length);
  });
});
