import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { Cursor, EntryFrame, ServerFrame } from "../../src/protocol/frames.ts";
import { FROM_THE_BEGINNING, type Device } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());

const isEntry = (frame: ServerFrame): frame is EntryFrame => ["message", "membership", "group"].includes(frame.t);

/** The entries of one stream, as `/v1/entries` tells them. */
async function entriesOf(who: Credentials, group?: string): Promise<EntryFrame[]> {
  const path = group === undefined ? "/v1/entries?" : `/v1/entries?conversation=${encodeURIComponent(group)}&`;
  const frames: EntryFrame[] = [];
  for (let after = 0; ;) {
    const { body } = await node.api.get(`${path}after=${after}&limit=7`, who.token);
    frames.push(...body.frames);
    if (!body.more) return frames;
    after = body.after;
  }
}

/** What a socket brings between `welcome` and `live`. */
async function resume(who: Credentials, cursor: Cursor): Promise<ServerFrame[]> {
  const device = await node.connect(who, cursor);
  await device.take("live");
  const end = device.frames.findIndex(({ t }) => t === "live");
  const frames = device.frames.slice(1, end);
  await device.close();
  return frames;
}

/** What polls bring until there is no more, and the cursor then. */
async function poll(who: Credentials, from: Cursor): Promise<{ frames: ServerFrame[]; cursor: Cursor }> {
  const frames: ServerFrame[] = [];
  for (let cursor = from; ;) {
    const { status, body } = await node.api.post("/v1/sync", who.token, { cursor });
    expect(status).toBe(200);
    frames.push(...body.frames);
    cursor = body.cursor;
    if (!body.more) return { frames, cursor };
  }
}

const inTimeline = (frames: ServerFrame[]): ServerFrame[] =>
  frames.filter(
    (frame) =>
      isEntry(frame) && (frame.t === "membership" || (frame.t === "message" && frame.conversation.startsWith("@"))),
  );
const inGroup = (frames: ServerFrame[], group: string): ServerFrame[] =>
  frames.filter((frame) => isEntry(frame) && frame.t !== "membership" && frame.conversation === group);

type Scene = {
  bob: Credentials;
  timeline: EntryFrame[];
  group: EntryFrame[];
  epochs: { timeline: string; group: string };
};

/** A timeline of all kinds of entries, and a group that bob is in. */
async function scene(tag: string): Promise<Scene> {
  const [alice, bob] = (await node.api.users(`alice-${tag}`, `bob-${tag}`)) as [Credentials, Credentials];
  const [a, b] = [await node.connect(alice), await node.connect(bob)];
  await a.say(`@${bob.user}`, "before the group");
  const group = await node.api.group(alice, `g-${tag}`, [bob.user]);
  await node.api.group(bob, `left-${tag}`, [alice.user]);
  for (let n = 0; n < 6; n++) {
    await a.say(`@${bob.user}`, `to bob ${n}`);
    await b.say(`@${alice.user}`, `to alice ${n} "quoted" \\ 🎈`);
    await b.say(`@${bob.user}`, `note ${n}`);
    await a.say(`#g-${tag}`, `to all ${n}`);
    await b.say(`#g-${tag}`, `from bob ${n}`);
    if (n === 2) await node.api.call("DELETE", `/v1/groups/left-${tag}/members/${bob.user}`, bob.token);
    if (n === 3) await node.api.call("PATCH", `/v1/groups/g-${tag}`, alice.token, { name: "renamed" });
  }
  const epochs = { timeline: b.welcome.epoch, group: group.head.epoch };
  return { bob, timeline: await entriesOf(bob), group: await entriesOf(bob, `#g-${tag}`), epochs };
}

describe("from every position", () => {
  const everyPosition = async ({ bob, timeline, group, epochs }: Scene) => {
    const address = group[0]!.conversation;
    expect(timeline.map(({ seq }) => seq)).toEqual(timeline.map((_, index) => index + 1));
    expect(group.map(({ seq }) => seq)).toEqual(group.map((_, index) => index + 1));
    const positions = Array.from({ length: timeline.length + 1 }, (_, index) => [
      index,
      Math.min(group.length, (index * 5) % (group.length + 1)),
    ]);
    for (const [had, hadOfGroup] of positions as [number, number][]) {
      const cursor = {
        epoch: epochs.timeline,
        timeline: had,
        groups: { [address]: { epoch: epochs.group, seq: hadOfGroup } },
      };
      const bySocket = await resume(bob, cursor);
      expect(inTimeline(bySocket)).toEqual(timeline.slice(had));
      expect(inGroup(bySocket, address)).toEqual(group.slice(hadOfGroup));
      expect(bySocket).toHaveLength(timeline.length - had + group.length - hadOfGroup);
      const byPoll = await poll(bob, cursor);
      expect(byPoll.frames).toEqual(bySocket);
      expect(byPoll.cursor).toMatchObject({ epoch: epochs.timeline, timeline: timeline.length });
      expect(byPoll.cursor.groups).toEqual({ [address]: { epoch: epochs.group, seq: group.length } });
    }
  };

  test("a device gets exactly the rest, over a socket and over sync", async () => everyPosition(await scene("memory")));

  test("it does so from segments as well, and from segments and memory together", async () => {
    const before = await scene("segments");
    await node.restart();
    await everyPosition(before);
    const bob = await node.connect(before.bob);
    await bob.say(`@${before.bob.user}`, "after the restart");
    await bob.say(before.group[0]!.conversation, "after the restart");
    const timeline = await entriesOf(before.bob);
    const group = await entriesOf(before.bob, before.group[0]!.conversation);
    expect([timeline.length, group.length]).toEqual([before.timeline.length + 1, before.group.length + 1]);
    await everyPosition({ ...before, timeline, group });
  });

  test("a device that was connected all the time saw the same, in the same order", async () => {
    const [cora, carl] = (await node.api.users("cora", "carl")) as [Credentials, Credentials];
    const always = await node.connect(carl, FROM_THE_BEGINNING);
    const sender = await node.connect(cora);
    await node.api.group(cora, "cc", ["carl"]);
    for (let n = 0; n < 20; n++) await sender.say(n % 2 ? "@carl" : "#cc", `text ${n}`);
    await always.take("message", ({ text }) => text === "text 19");
    await always.untaken();
    const live = always.frames.filter(isEntry);
    expect(inTimeline(live)).toEqual(await entriesOf(carl));
    expect(inGroup(live, "#cc")).toEqual(await entriesOf(carl, "#cc"));
  });
});

describe("positions that are not of this history", () => {
  test("a cursor of another epoch, or ahead of the head, gets reset for that stream alone", async () => {
    const { bob, timeline, group, epochs } = await scene("reset");
    const address = group[0]!.conversation;
    const [head, groupHead] = [timeline.length, group.length];
    const wrong: [Cursor, ServerFrame[]][] = [
      [{ epoch: "other", timeline: 3, groups: {} }, [{ t: "reset" }]],
      [{ epoch: "", timeline: 3, groups: {} }, [{ t: "reset" }]],
      [{ epoch: epochs.timeline, timeline: head + 1, groups: {} }, [{ t: "reset" }]],
      [{ epoch: epochs.timeline, timeline: 2 ** 48 - 1, groups: {} }, [{ t: "reset" }]],
    ];
    for (const [cursor, expected] of wrong) {
      const groups = { [address]: { epoch: epochs.group, seq: groupHead } };
      expect(await resume(bob, { ...cursor, groups })).toEqual(expected);
      const polled = await poll(bob, { ...cursor, groups });
      expect(polled.frames).toEqual(expected);
      expect(polled.cursor).toMatchObject({ epoch: epochs.timeline, timeline: head });
    }
    for (const position of [
      { epoch: "other", seq: 3 },
      { epoch: epochs.group, seq: groupHead + 1 },
    ]) {
      const cursor = { epoch: epochs.timeline, timeline: head - 1, groups: { [address]: position } };
      const expected = [{ t: "reset", conversation: address }, timeline.at(-1)!] as ServerFrame[];
      expect(await resume(bob, cursor)).toEqual(expected);
      const polled = await poll(bob, cursor);
      expect(polled.frames).toEqual(expected);
      expect(polled.cursor.groups).toEqual({ [address]: { epoch: epochs.group, seq: groupHead } });
    }
  });

  test("nothing can be stale about nothing: position 0 is valid under every epoch", async () => {
    const { bob, timeline, group } = await scene("zero");
    const address = group[0]!.conversation;
    for (const epoch of ["", "other"]) {
      const frames = await resume(bob, { epoch, timeline: 0, groups: { [address]: { epoch, seq: 0 } } });
      expect(inTimeline(frames)).toEqual(timeline);
      expect(inGroup(frames, address)).toEqual(group);
      expect(frames).toHaveLength(timeline.length + group.length);
    }
  });

  test("groups that the device is not in, or that never were, are passed over", async () => {
    const { bob, timeline, group, epochs } = await scene("strange");
    const address = group[0]!.conversation;
    const groups = {
      "#never-was": { epoch: "x", seq: 4 },
      "#left-strange": { epoch: "x", seq: 4 },
      [address]: { epoch: epochs.group, seq: group.length },
    };
    const cursor = { epoch: epochs.timeline, timeline: timeline.length, groups };
    expect(await resume(bob, cursor)).toEqual([]);
    expect((await poll(bob, cursor)).cursor.groups).toEqual({ [address]: groups[address]! });
  });

  test("without a cursor a device is live at once, from now on", async () => {
    const { bob } = await scene("none");
    const device = await node.connect(bob);
    expect(await device.untaken()).toEqual([]);
    expect(device.all("live")).toEqual([]);
  });
});

describe("too much missed", () => {
  let small: TestNode;
  const max = 10;
  beforeAll(async () => {
    small = await startTestNode({ resumeEntriesMax: max });
  });
  afterAll(() => small.stop());

  test("is told as a gap, and the entries call fills it exactly; up to the limit it is streamed", async () => {
    const [dave, dora] = (await small.api.users("dave", "dora")) as [Credentials, Credentials];
    const group = await small.api.group(dave, "dd", ["dora"]);
    const sender = await small.connect(dave);
    for (let n = 0; n < max; n++) {
      await sender.say("@dora", `direct ${n}`);
      await sender.say("#dd", `posted ${n}`);
    }
    const { body: timeline } = await small.api.get("/v1/entries?after=0", dora.token);
    const { body: log } = await small.api.get("/v1/entries?conversation=%23dd&after=0", dora.token);
    const heads = [timeline.frames.length, log.frames.length];
    expect(heads).toEqual([max + 1, max + 1]);
    const device = async (had: number, hadOfGroup: number): Promise<Device> => {
      const { epoch } = (await small.connect(dora)).welcome;
      return small.connect(dora, {
        epoch,
        timeline: had,
        groups: { "#dd": { epoch: group.head.epoch, seq: hadOfGroup } },
      });
    };
    const gapped = await device(0, 0);
    await gapped.take("live");
    const gaps = gapped.frames.slice(1, -1);
    expect(gaps).toEqual([
      { t: "gap", from: 1, to: max + 1 },
      { t: "gap", conversation: "#dd", from: 1, to: max + 1 },
    ]);
    const byPoll = await small.api.post("/v1/sync", dora.token, {
      cursor: { epoch: "", timeline: 0, groups: { "#dd": { epoch: "", seq: 0 } } },
    });
    expect(byPoll.body.frames).toEqual(gaps);
    expect(byPoll.body.more).toBe(false);
    expect(byPoll.body.cursor).toMatchObject({ timeline: max + 1, groups: { "#dd": { seq: max + 1 } } });
    for (const [path, all] of [
      ["", timeline.frames],
      ["conversation=%23dd&", log.frames],
    ] as const) {
      const filled = [];
      for (let after = 0; after < max + 1;) {
        const { body } = await small.api.get(`/v1/entries?${path}after=${after}&limit=4`, dora.token);
        filled.push(...body.frames);
        expect(body.more).toBe(body.after < max + 1);
        after = body.after;
      }
      expect(filled).toEqual(all);
    }
    const streamed = await device(1, 1);
    await streamed.take("live");
    expect(streamed.frames.slice(1, -1)).toEqual([...timeline.frames.slice(1), ...log.frames.slice(1)]);
    const mixed = await device(0, 1);
    await mixed.take("live");
    expect(mixed.frames.slice(1, -1)).toEqual([{ t: "gap", from: 1, to: max + 1 }, ...log.frames.slice(1)]);
    await sender.say("@dora", "after the gap");
    expect((await gapped.take("message")).seq).toBe(max + 2);
  });
});

describe("groups joined and left while away", () => {
  test("a group joined while away comes with its log from the joining on", async () => {
    const [eva, edi] = (await node.api.users("eva", "edi")) as [Credentials, Credentials];
    const { epoch } = (await node.connect(edi)).welcome;
    await node.api.group(eva, "joined", []);
    const sender = await node.connect(eva);
    await sender.say("#joined", "before edi came");
    await node.api.call("PUT", "/v1/groups/joined/members/edi", eva.token, {});
    await sender.say("#joined", "after edi came");
    const frames = await resume(edi, { epoch, timeline: 0, groups: {} });
    expect(frames).toMatchObject([
      { t: "membership", seq: 1, conversation: "#joined", change: "joined", groupSeq: 3 },
      { t: "group", seq: 3, change: "joined", user: "edi", by: "eva" },
      { t: "message", seq: 4, text: "after edi came" },
    ]);
    expect((await poll(edi, { epoch, timeline: 0, groups: {} })).frames).toEqual(frames);
  });

  test("a group left while away says so, and shows nothing of what came after", async () => {
    const [fin, flo] = (await node.api.users("fin", "flo")) as [Credentials, Credentials];
    const group = await node.api.group(fin, "left", ["flo"]);
    const sender = await node.connect(fin);
    await node.api.call("DELETE", "/v1/groups/left/members/flo", fin.token);
    await sender.say("#left", "not for flo");
    const cursor = {
      epoch: (await node.connect(flo)).welcome.epoch,
      timeline: 1,
      groups: { "#left": { epoch: group.head.epoch, seq: 1 } },
    };
    const left = { t: "membership", seq: 2, conversation: "#left", change: "left", groupSeq: 2 };
    expect(await resume(flo, cursor)).toMatchObject([left]);
    await node.api.call("PUT", "/v1/groups/left/members/flo", fin.token, {});
    const frames = await resume(flo, cursor);
    expect(frames).toMatchObject([
      left,
      { t: "membership", seq: 3, change: "joined", groupSeq: 4 },
      { t: "group", seq: 2, change: "left" },
      { t: "message", seq: 3, text: "not for flo" },
      { t: "group", seq: 4, change: "joined" },
    ]);
  });

  test("a group that was joined and left again while away leaves only its two notes in the timeline", async () => {
    const [gus, gia] = (await node.api.users("gus", "gia")) as [Credentials, Credentials];
    await node.api.group(gus, "brief", ["gia"]);
    await (await node.connect(gus)).say("#brief", "while gia was in");
    await node.api.call("DELETE", "/v1/groups/brief/members/gia", gia.token);
    expect(await resume(gia, FROM_THE_BEGINNING)).toMatchObject([{ change: "joined" }, { change: "left" }]);
  });

  test("a dissolved group says left", async () => {
    const [hal, ida] = (await node.api.users("hal", "ida")) as [Credentials, Credentials];
    await node.api.group(hal, "gone", ["ida"]);
    await node.api.call("DELETE", "/v1/groups/gone", hal.token);
    for (const who of [hal, ida]) {
      expect(await resume(who, FROM_THE_BEGINNING)).toMatchObject([
        { change: "joined" },
        { change: "left", groupSeq: 2 },
      ]);
    }
  });
});

test.each(["@jo", "@jim", "#jj"])(
  "another device of the sender misses nothing when the sending one goes before its answer (%s)",
  async (to) => {
    const faults = new FaultyFiles();
    const held = await startTestNode({}, { files: faults.files });
    try {
      const [jim] = (await held.api.users("jim", "jo")) as [Credentials];
      await held.api.group(jim, "jj", ["jo"]);
      const staying = await held.connect(jim);
      const going = await held.connect(await held.api.user("jim"));
      faults.hold();
      going.post(to, "and gone", "r-1");
      await faults.held();
      await going.close();
      faults.release();
      expect(await staying.take("message")).toMatchObject({ conversation: to, seq: 2, text: "and gone", ref: "r-1" });
    } finally {
      faults.release();
      await held.stop();
    }
  },
);
