import { afterAll, beforeAll, expect, test } from "bun:test";
import { systemClock, type Clock } from "../../src/base/clock.ts";
import type { MessageFrame, SentFrame } from "../../src/protocol/frames.ts";
import { FROM_THE_BEGINNING, type Device } from "../support/device.ts";
import { hasFaults } from "../support/settled-faults.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ sendBurst: 100_000 });
});
afterAll(() => node.stop());

type Placed = { seq: number; id: string };

/**
 * What a device knows of one stream, in the order it came: messages, and its own sends by their `sent`. A `sent` that
 * comes late is of a message that the device has seen; without faults none is.
 */
function seen(device: Device, isIn: (frame: MessageFrame | SentFrame) => boolean): Placed[] {
  const entries = device.frames.filter(
    (frame): frame is MessageFrame | SentFrame => (frame.t === "message" || frame.t === "sent") && isIn(frame),
  );
  const messages = new Set(entries.filter(({ t }) => t === "message").map(({ id }) => id));
  const isLate = ({ t, id }: MessageFrame | SentFrame): boolean => hasFaults() && t === "sent" && messages.has(id);
  return entries.filter((frame) => !isLate(frame)).map(({ seq, id }) => ({ seq, id }));
}

const seqs = (placed: Placed[]): number[] => placed.map(({ seq }) => seq);
const dense = (from: number, count: number): number[] => Array.from({ length: count }, (_, index) => from + index);

test("a timeline is dense and in one order on all devices, with two users and two devices each sending at once", async () => {
  const [alice, bob] = await node.api.users("alice", "bob");
  const devices = {
    alice: [await node.connect(alice!), await node.connect(await node.api.user("alice"))],
    bob: [await node.connect(bob!), await node.connect(await node.api.user("bob"))],
  };
  const sends = 60;
  for (let n = 0; n < sends; n++) {
    devices.alice.forEach((device, index) => device.post("@bob", `a${index}-${n}`, `a${index}-${n}`));
    devices.bob.forEach((device, index) => device.post("@alice", `b${index}-${n}`, `b${index}-${n}`));
  }
  const all = [...devices.alice, ...devices.bob];
  await Promise.all(all.map((device) => device.takeMany("sent", sends)));
  await Promise.all(all.map((device) => device.takeMany("message", 3 * sends)));
  for (const [owner, other] of [
    [alice!, bob!],
    [bob!, alice!],
  ]) {
    const own = devices[owner!.user as "alice" | "bob"];
    const timelines = own.map((device) => seen(device, () => true));
    expect(seqs(timelines[0]!)).toEqual(dense(1, 4 * sends));
    expect(timelines[1]).toEqual(timelines[0]);
    const history = await node.api.history(owner!, `@${other!.user}`);
    expect(history.map(({ seq, id }) => ({ seq, id }))).toEqual(timelines[0]!);
    for (const author of ["a0", "a1", "b0", "b1"]) {
      const texts = history.map(({ text }) => text).filter((text) => text.startsWith(author));
      expect(texts).toEqual(dense(0, sends).map((n) => `${author}-${n}`));
    }
  }
  for (const device of all) expect(await device.untaken()).toEqual([]);
});

test("a group's log is dense and in one order for all of its five members, all sending at once", async () => {
  const names = ["ann", "ben", "cat", "dan", "eve"];
  const people = await node.api.users(...names);
  await node.api.group(people[0]!, "five", names);
  const devices = await Promise.all(people.map((who) => node.connect(who)));
  const sends = 40;
  for (let n = 0; n < sends; n++) devices.forEach((device, index) => device.post("#five", `${index} ${n}`, `r${n}`));
  await Promise.all(devices.map((device) => device.takeMany("sent", sends)));
  await Promise.all(devices.map((device) => device.untaken()));
  const orders = devices.map((device) => seen(device, (frame) => frame.conversation === "#five"));
  expect(seqs(orders[0]!)).toEqual(dense(2, 5 * sends));
  for (const order of orders) expect(order).toEqual(orders[0]!);
  const history = await node.api.history(people[1]!, "#five");
  expect(history.map(({ seq, id }) => ({ seq, id }))).toEqual(orders[0]!);
  names.forEach((name, index) => {
    const own = history.filter(({ from }) => from === name);
    expect(own.map(({ text }) => text)).toEqual(dense(0, sends).map((n) => `${index} ${n}`));
  });
});

test("what one device sends in one order is committed and acked in that order, across users and groups", async () => {
  const [fay] = await node.api.users("fay", "gil", "hal");
  await node.api.group(fay!, "mixed", ["gil"]);
  await node.api.group(fay!, "other", ["hal"]);
  const device = await node.connect(fay!);
  const places = ["@gil", "#mixed", "@hal", "@fay", "#other"];
  const refs: string[] = [];
  for (let n = 0; n < 200; n++) refs.push(device.post(places[(n * 7 + (n % 3)) % places.length]!, `text ${n}`));
  const sent = await device.takeMany("sent", refs.length);
  // Between logs there is an order while all of them are on one node; it is no guarantee.
  if (!hasFaults()) expect(sent.map(({ ref }) => ref)).toEqual(refs);
  const isDirect = ({ conversation }: SentFrame): boolean => conversation.startsWith("@");
  const direct = sent.filter(isDirect);
  expect(direct.map(({ ref }) => ref)).toEqual(refs.filter((ref) => direct.some((one) => one.ref === ref)));
  for (const place of places) {
    const inPlace = sent.filter(({ conversation }) => conversation === place);
    expect(inPlace.map(({ ref }) => ref)).toEqual(refs.filter((ref) => inPlace.some((one) => one.ref === ref)));
    const stream = inPlace.map(({ seq }) => seq);
    expect(stream).toEqual(stream.toSorted((a, b) => a - b));
  }
});

test("a device that resumes while others send sees the same dense order as one that was always there", async () => {
  const [ida, jan] = await node.api.users("ida", "jan");
  const group = await node.api.group(ida!, "busy", ["jan"]);
  const always = await node.connect(jan!);
  const sender = await node.connect(ida!);
  const count = 400;
  for (let n = 0; n < count; n++) sender.post(n % 2 === 0 ? "@jan" : "#busy", `text ${n}`);
  const late = await Promise.all(Array.from({ length: 4 }, () => node.connect(jan!, FROM_THE_BEGINNING)));
  for (const device of [always, ...late])
    for (const last of [count - 2, count - 1]) await device.take("message", ({ text }) => text === `text ${last}`);
  for (const device of late) {
    await device.untaken();
    const timeline = seen(device, (frame) => frame.conversation === "@ida");
    const log = seen(device, (frame) => frame.conversation === "#busy");
    expect(seqs(timeline)).toEqual(dense(2, count / 2));
    expect(seqs(log)).toEqual(dense(group.head.seq + 1, count / 2));
    expect(timeline).toEqual(seen(always, (frame) => frame.conversation === "@ida"));
    expect(log).toEqual(seen(always, (frame) => frame.conversation === "#busy"));
  }
});

test("once a send was refused because the disk is behind, none behind it slips in before its time to retry", async () => {
  const faults = new FaultyFiles();
  let nowMs = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const slow = await startTestNode({ sendBurst: 100_000 }, { files: faults.files, clock });
  try {
    const [kim] = await slow.api.users("kim");
    const device = await slow.connect(kim!);
    faults.hold();
    // More than the log keeps waiting, until the first is refused.
    const text = "x".repeat(16_000);
    for (let posted = 0; device.all("error").length === 0; posted += 50) {
      expect(posted).toBeLessThan(3000);
      for (let n = 0; n < 50; n++) device.post("@kim", text);
      await device.untaken();
    }
    const [first] = device.all("error");
    const { code, detail, retryAfterMs } = first!;
    expect([code, detail]).toEqual([
      "unavailable",
      expect.stringContaining("more is written than the disk keeps up with"),
    ]);
    faults.release();
    await until("a later one is taken", async () => {
      nowMs += 100;
      return (await device.ask("@kim", "small and late")).t === "sent";
    });
    expect(nowMs).toBeGreaterThanOrEqual(retryAfterMs!);
  } finally {
    faults.release();
    await slow.stop();
  }
});
