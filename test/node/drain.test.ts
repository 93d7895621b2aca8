import { expect, test } from "bun:test";
import { startTestNode } from "../support/test-node.ts";

/** Longer than anything that the node puts off. */
const LATER_MS = 1200;

test("nothing that was put off comes back to write to a log that is closed", async () => {
  const node = await startTestNode();
  const [alice, bob] = await node.api.users("alice", "bob");
  const [sender, receiver] = [await node.connect(alice!), await node.connect(bob!)];
  await node.api.group(alice!, "hikers", ["bob"]);
  await sender.say("@bob", "hello");
  const posted = await sender.say("#hikers", "hello");
  const { seq } = await receiver.take("message", ({ conversation }) => conversation === "@alice");
  receiver.send({ t: "received", seq });
  receiver.send({ t: "received", conversation: "#hikers", seq: posted.seq });
  await sender.takeMany("receipt", 2);
  await node.restart();
  // An error in a timer has nobody to catch it: it fails this test.
  await Bun.sleep(LATER_MS);
  expect((await receiver.end()).code).toBe(4000);
  await node.stop();
});
