/** A membership that is read back names the epoch of its group, also on a node that does not own the group and has not followed it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { FollowedMirrors } from "../../../src/home/mirrors/followed-mirrors.ts";
import type { Credentials, Group } from "../../../src/protocol/http-shapes.ts";
import { FROM_THE_BEGINNING } from "../../support/device.ts";
import { startTestNode, type TestNode } from "../../support/test-node.ts";

let node: TestNode;
let ben: Credentials;
let left: Group;
let present: Group;

beforeAll(async () => {
  node = await startTestNode({}, { mirrors: (parts) => new FollowedMirrors(parts) });
  const [ann, one] = (await node.api.users("ann", "ben")) as [Credentials, Credentials];
  ben = one;
  left = await node.api.group(ann, "left", ["ben"]);
  const over = await node.api.group(ann, "over", ["ben"]);
  present = await node.api.group(ann, "present", ["ben"]);
  await node.api.call("DELETE", "/v1/groups/left/members/ben", ben.token);
  await node.api.call("DELETE", `/v1/groups/${over.id}`, ann.token);
});
afterAll(() => node.stop());

const memberships = (frames: { t: string; conversation: string; change: string; epoch: string }[]) =>
  frames
    .filter(({ t }) => t === "membership")
    .map(({ conversation, change, epoch }) => [conversation, change, epoch])
    .toSorted((a, b) => (a.join() < b.join() ? -1 : 1));

const told = () => [
  ["#left", "joined", left.head.epoch],
  ["#left", "left", left.head.epoch],
  ["#over", "joined", expect.any(String)],
  ["#over", "left", expect.any(String)],
  ["#present", "joined", present.head.epoch],
];

const ways: [string, () => Promise<never[]>][] = [
  ["the entries call", async () => (await node.api.get("/v1/entries?after=0", ben.token)).body.frames],
  ["a poll", async () => (await node.api.post("/v1/sync", ben.token, { cursor: FROM_THE_BEGINNING })).body.frames],
  [
    "a socket",
    async () => {
      const device = await node.connect(ben, FROM_THE_BEGINNING);
      await device.take("live");
      return device.frames as never[];
    },
  ],
];

test.each(ways)("by %s, right after a start", async (_, read) => {
  await node.restart();
  expect(memberships(await read())).toEqual(told());
});
