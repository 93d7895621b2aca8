/** A group that is large enough for a list of its sessions, and for posts that gather: nobody sees a difference. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { LARGE_GROUP_MEMBERS } from "../../src/home/group-mirror.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { ServerFrame } from "../../src/protocol/frames.ts";
import type { Device } from "../support/device.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());

const GROUP = "#crowd";
const STEPS = 120;

/** Seqs of the group's entries, own posts included, in the order in which they came. */
const seqsOf = (frames: readonly ServerFrame[]): number[] =>
  frames.flatMap((frame) => {
    const isEntry = frame.t === "message" || frame.t === "sent" || frame.t === "group";
    return isEntry && frame.conversation === GROUP ? [frame.seq] : [];
  });

test("every device of a large group gets all entries in order, while members and devices come and go", async () => {
  const random = randomFrom(SEED);
  const names = Array.from({ length: LARGE_GROUP_MEMBERS + 6 }, (_, n) => `m${n}`);
  const users = await node.api.users(...names);
  const [admin] = users as [Credentials];
  const talkers = users.slice(0, 5);
  const leaver = users.at(-1)!;
  const group = await node.api.group(admin, GROUP.slice(1), names.slice(1));
  const cursor = { epoch: "", timeline: 0, groups: { [GROUP]: { epoch: group.head.epoch, seq: 0 } } };
  const connect = async (who: Credentials): Promise<Device> => {
    const device = await node.connect(who, cursor);
    await device.take("live");
    return device;
  };
  const devices = await Promise.all(talkers.map(connect));
  let isIn = true;
  for (let n = 0; n < STEPS; n++) {
    const at = Math.floor(random() * devices.length);
    const what = random();
    if (what < 0.8) devices[at]!.post(GROUP, `post ${n}`);
    else if (what < 0.9) {
      await devices[at]!.close();
      devices[at] = await connect(talkers[at]!);
    } else {
      const path = `/v1/groups/${GROUP.slice(1)}/members/${leaver.user}`;
      await node.api.call(isIn ? "DELETE" : "PUT", path, admin.token, isIn ? undefined : {});
      isIn = !isIn;
    }
  }
  const last = await Promise.all(devices.map((device) => device.say(GROUP, "the last one")));
  const end = Math.max(...last.map(({ seq }) => seq));
  const all = Array.from({ length: end }, (_, n) => n + 1);
  for (const [at, device] of devices.entries())
    if (last[at]!.seq !== end) await device.take("message", ({ seq }) => seq === end);
  expect(devices.map(({ frames }) => seqsOf(frames))).toEqual(devices.map(() => all));
});
