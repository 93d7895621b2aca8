import { expect, test } from "bun:test";
import { startTestNode } from "../support/test-node.ts";
import { WatchedClock } from "../support/watched-clock.ts";

/** The marks of what was received, the first look of the maintenance, the marks of what was handed over. */
const PUT_OFF_MS = [1000, 60_000, 15_000];

test("a drained node has no delayed work left that could write to a closed log", async () => {
  const clock = new WatchedClock();
  const node = await startTestNode({}, { clock, maintenanceTimes: { firstMs: 60_000 } });
  const [alice, bob] = await node.api.users("alice", "bob");
  const [sender, receiver] = [await node.connect(alice!), await node.connect(bob!)];
  await node.api.group(alice!, "hikers", ["bob"]);
  await sender.say("@bob", "hello");
  const posted = await sender.say("#hikers", "hello");
  const { seq } = await receiver.take("message", ({ conversation }) => conversation === "@alice");
  receiver.send({ t: "received", seq });
  receiver.send({ t: "received", conversation: "#hikers", seq: posted.seq });
  await sender.takeMany("receipt", 2);
  expect(clock.putOffMs()).toEqual(expect.arrayContaining(PUT_OFF_MS));
  await node.stop();
  expect(clock.putOffMs()).toEqual([]);
});
