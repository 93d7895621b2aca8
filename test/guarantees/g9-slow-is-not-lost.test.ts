import { afterAll, beforeAll, expect, test } from "bun:test";
import { FROM_THE_BEGINNING, type Device } from "../support/device.ts";
import { hasFaults } from "../support/settled-faults.ts";
import { SlowReader } from "../support/slow-reader.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ outboxKb: 64, sendBurst: 1_000_000 });
});
afterAll(() => node.stop());

/** More than the kernel keeps for a loopback connection, on both sides. */
const MESSAGES = 900;
const TEXT = "x".repeat(16_000);
const SENT_TOGETHER = 20;
const RESUMES = 10;

const seqsOf = (frames: readonly object[]): number[] =>
  frames.filter((frame) => "t" in frame && frame.t === "message").map((frame) => (frame as { seq: number }).seq);

const upTo = (last: number, from = 1): number[] => Array.from({ length: last - from + 1 }, (_, index) => from + index);

test("who does not read is closed with 4001 and resumes without loss, and nobody else waits for it", async () => {
  const [alice, bob, carol] = await node.api.users("alice", "bob", "carol");
  const slow = await SlowReader.connect(node.port, bob!);
  await slow.take("welcome");
  slow.pause();
  const sender = await node.connect(alice!);
  const reading = await node.connect(await node.api.user("bob"));
  const bystander = await node.connect(carol!);
  await sayAll(sender, "@bob", reading, async (n) => {
    if (n % 100 === 0) await bystander.say("@alice", "still here");
  });
  expect(seqsOf(reading.frames)).toEqual(upTo(MESSAGES));

  await slow.end();
  const got = seqsOf(slow.frames);
  expect(got.length).toBeLessThan(MESSAGES);
  expect(got).toEqual(upTo(got.length));
  // Over faults it takes longer: a client that does not read the reason for some seconds loses it.
  expect(hasFaults() ? [4001, undefined] : [4001]).toContain(slow.closeCode);

  const cursor = { epoch: reading.welcome.epoch, timeline: got.length, groups: {} };
  const resumed = await node.connect(bob!, cursor);
  await resumed.take("live");
  expect(seqsOf(resumed.frames)).toEqual(upTo(MESSAGES, got.length + 1));
});

test("a resume goes at the reader's speed: much to catch up on is no reason to be closed", async () => {
  const [dora, emil] = await node.api.users("dora", "emil");
  const sender = await node.connect(dora!);
  const reading = await node.connect(await node.api.user("emil"));
  await sayAll(sender, "@emil", reading);
  // Where in its work the server is when the queue has room again is a matter of luck.
  for (let resume = 0; resume < RESUMES; resume++) {
    const slow = await SlowReader.connect(node.port, emil!, FROM_THE_BEGINNING);
    await readSlowly(slow);
    expect([slow.closeCode, slow.bye]).toEqual([undefined, undefined]);
    expect(seqsOf(slow.frames)).toEqual(upTo(MESSAGES));
    await slow.destroy();
  }
});

/** Not all at once: the disk may be slow, and what it cannot keep up with is refused. @param reading has them all then */
async function sayAll(
  sender: Device,
  to: string,
  reading: Device,
  said: (n: number) => Promise<void> = async () => {},
): Promise<void> {
  for (let n = 1; n <= MESSAGES; n += SENT_TOGETHER) {
    const last = n + SENT_TOGETHER - 1;
    await Promise.all(upTo(last, n).map((m) => sender.say(to, `${m} ${TEXT}`)));
    await reading.take("message", ({ seq }) => seq === last);
    await said(last);
  }
}

/** Up to `live`, or to the end of the connection. */
async function readSlowly(reader: SlowReader): Promise<void> {
  for (let read = 0; !reader.frames.some(({ t }) => t === "live") && !reader.isGone;) {
    reader.pause();
    // Slowness is what this is about; nothing waits for it.
    await Bun.sleep(5);
    reader.resume();
    await until("more has come, or the connection has ended", () => reader.frames.length > read || reader.isGone);
    read = reader.frames.length;
  }
}
