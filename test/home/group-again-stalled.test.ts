/** A device that reads slowly catches up while a group ends and is created anew: it is shown nothing that was said where the user was not. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { SlowReader } from "../support/slow-reader.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ outboxKb: 64 });
});
afterAll(() => node.stop());

test("what was said after the user was removed from the former group stays hidden from a catch-up that began before", async () => {
  const [ann, eve] = (await node.api.users("ann", "eve")) as [Credentials, Credentials];
  const { head } = await node.api.group(ann, "club", ["eve"]);
  const device = await node.connect(eve);
  const text = "x".repeat(16_000);
  for (let n = 0; n < 900; n++) device.post("@eve", text);
  await device.takeMany("sent", 900);
  const slow = await SlowReader.connect(node.port, eve, {
    epoch: device.welcome.epoch,
    timeline: 0,
    groups: { "#club": { epoch: head.epoch, seq: 1 } },
  });
  await until("the catch-up has begun", () => slow.frames.length > 1);
  slow.pause();
  const call = async (method: string, path: string, who: Credentials, body?: unknown): Promise<void> =>
    expect((await node.api.call(method, path, who.token, body)).status).toBeLessThan(300);
  await call("DELETE", "/v1/groups/club/members/eve", ann);
  await call("POST", "/v1/messages", ann, { to: "#club", text: "a secret", ref: "r-1" });
  await call("DELETE", "/v1/groups/club", ann);
  await call("POST", "/v1/groups", eve, { id: "club", name: "again", members: [] });
  slow.resume();
  await until("the device is live", () => slow.frames.some(({ t }) => t === "live"));
  const told = slow.frames.filter((frame) => "conversation" in frame && frame.conversation === "#club");
  expect(told).toMatchObject([
    { t: "membership", change: "joined", groupSeq: 1 },
    { t: "membership", change: "left", groupSeq: 2 },
    { t: "membership", change: "joined", groupSeq: 5 },
    { t: "group", change: "created", seq: 5, members: ["eve"] },
  ]);
});
