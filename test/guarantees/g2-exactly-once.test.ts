import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { SentFrame } from "../../src/protocol/frames.ts";
import type { Device } from "../support/device.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { hasFaults } from "../support/settled-faults.ts";
import { TestProcess } from "../support/test-process.ts";
import { seeded } from "../support/seed.ts";

const faults = new FaultyFiles();
let node: TestNode;

beforeAll(async () => {
  node = await startTestNode({}, { files: faults.files });
});
afterAll(() => node.stop());

let people = 0;
const freshName = (): string => `user${++people}`;

/** Two people who nobody else writes to, and a group of both. */
async function pair() {
  const [one, other] = await node.api.users(freshName(), freshName());
  const group = `g-${one!.user}`;
  await node.api.group(one!, group, [other!.user]);
  return {
    one: one!,
    other: other!,
    group: `#${group}`,
    device: await node.connect(one!),
    device2: await node.connect(await node.api.user(one!.user)),
  };
}

const place = ({ id, conversation, seq, sentAt }: SentFrame) => ({ id, conversation, seq, sentAt });

test.each(["direct", "group"])("the same ref again, unmarked, is the same message (%s)", async (kind) => {
  const { device, device2, one, other, group } = await pair();
  const to = kind === "group" ? group : `@${other.user}`;
  const first = await device.say(to, "hello", "r-1");
  const again = await device.say(to, "hello", "r-1");
  const elsewhere = await device2.say(to, "hello", "r-1");
  const marked = await device2.say(to, "hello", "r-1", true);
  // The reply to a post may be lost between shards; a copy of the post is answered as a repeat then.
  expect(first.duplicate).toBeOneOf(hasFaults() && kind === "group" ? [undefined, true] : [undefined]);
  for (const repeat of [again, elsewhere, marked]) {
    expect(repeat.duplicate).toBe(true);
    expect(place(repeat)).toEqual(place(first));
  }
  expect(await node.api.history(one, to)).toHaveLength(1);
  expect(await node.api.history(other, kind === "group" ? group : `@${one.user}`)).toHaveLength(1);
});

test("HTTP and sockets know each other's refs", async () => {
  const { device, one, other } = await pair();
  const to = `@${other.user}`;
  const bySocket = await device.say(to, "one", "s-1");
  const repeat = await node.api.post("/v1/messages", one.token, { to, text: "one", ref: "s-1" });
  expect(repeat.status).toBe(200);
  expect(repeat.body).toMatchObject({
    id: bySocket.id,
    seq: bySocket.seq,
    duplicate: true,
    ref: "s-1",
    from: one.user,
  });
  const byHttp = await node.api.post("/v1/messages", one.token, { to, text: "two", ref: "h-1" });
  expect(byHttp.status).toBe(201);
  expect(byHttp.body.duplicate).toBeUndefined();
  expect(await device.say(to, "two", "h-1")).toMatchObject({
    id: byHttp.body.id,
    seq: byHttp.body.seq,
    duplicate: true,
  });
  const conflict = await node.api.post("/v1/messages", one.token, { to, text: "three", ref: "h-1" });
  expect([conflict.status, conflict.body.code]).toEqual([409, "ref_conflict"]);
  expect((await node.api.history(one, to)).map(({ text }) => text)).toEqual(["one", "two"]);
});

test.each(["direct", "group"])(
  "repeats while the first is on its way get its answer, and are not sent (%s)",
  async (kind) => {
    const { device, device2, one, other, group } = await pair();
    const receiver = await node.connect(other);
    const to = kind === "group" ? group : `@${other.user}`;
    faults.hold();
    try {
      for (const sender of [device, device, device2]) sender.post(to, "hello", "r-1");
      await faults.held();
      device2.post(to, "hello", "r-1", true);
      device.post(to, "other", "r-1");
      device.post(group === to ? `@${other.user}` : group, "hello", "r-1");
      const byHttp = node.api.post("/v1/messages", one.token, { to, text: "hello", ref: "r-1" });
      expect(await device.take("error")).toMatchObject({ ref: "r-1", code: "ref_conflict" });
      expect(await device.take("error")).toMatchObject({ ref: "r-1", code: "ref_conflict" });
      await device2.untaken();
      faults.release();
      const answers = [...(await device.takeMany("sent", 2)), ...(await device2.takeMany("sent", 2))];
      expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
      const duplicates = answers.filter(({ duplicate }) => duplicate === true).length;
      // If the reply to a post is lost, and the post came twice, the other reply calls it a repeat.
      expect(duplicates).toBeOneOf(hasFaults() && kind === "group" ? [3, 4] : [3]);
      expect((await byHttp).body.id).toBe(answers[0]!.id);
    } finally {
      faults.release();
    }
    expect((await receiver.untaken()).filter(({ t }) => t === "message")).toHaveLength(1);
  },
);

test("the same ref for another text, another address, or the other kind of address is refused", async () => {
  const { device, other, group } = await pair();
  const direct = `@${other.user}`;
  await device.say(direct, "hello", "direct");
  await device.say(group, "hello", "group");
  const conflicts: [to: string, text: string, ref: string][] = [
    [direct, "hello!", "direct"],
    [direct, "Hello", "direct"],
    [`@${device.welcome.user}`, "hello", "direct"],
    [group, "hello", "direct"],
    [group, "hello ", "group"],
    [direct, "hello", "group"],
  ];
  for (const retry of [false, true]) {
    for (const [to, text, ref] of conflicts) {
      expect(await device.ask(to, text, ref, retry)).toMatchObject({ t: "error", ref, code: "ref_conflict" });
    }
  }
  expect((await device.say(direct, "hello", "direct")).duplicate).toBe(true);
  expect((await device.say(group, "hello", "group")).duplicate).toBe(true);
});

test("a ref is one user's own: somebody else may use the same", async () => {
  const { device, other, group } = await pair();
  const theirs = await node.connect(other);
  for (const to of [group, `@${other.user}`]) {
    const mine = await device.say(to, "mine", `shared ${to}`);
    const their = await theirs.say(to, "theirs", `shared ${to}`);
    expect([mine.duplicate, their.duplicate]).toEqual([undefined, undefined]);
    expect(their.id).not.toBe(mine.id);
  }
});

test("a ref whose first use was refused is free", async () => {
  const { device, other } = await pair();
  expect(await device.ask("@nobody-here", "hello", "r-1")).toMatchObject({ t: "error", code: "unknown_address" });
  expect((await device.say(`@${other.user}`, "another", "r-1")).duplicate).toBeUndefined();
});

const ODD_REFS = [
  ..."7 07 007 70 0 00 x x1 x01 x001 x1x 1e3 -1 1.0 +7 a/b / // alice/x __proto__ constructor toString null NaN".split(
    " ",
  ),
  ...[
    " ",
    "  ",
    " x",
    "x ",
    "x 1",
    '"',
    '""',
    "\\",
    '\\"',
    "\\u0041",
    "'",
    "%41",
    "~",
    "{}",
    '{"t":"sent"}',
    '"mark":',
  ],
  ...["999999999999999", "1000000000000000", "9007199254740993", "a999999999999999", "a9999999999999990"],
  ...["y".repeat(64), "y".repeat(63), `${"z".repeat(62)}10`, `${"z".repeat(62)}9`, "1".repeat(64), "0".repeat(64)],
];

describe("refs of any shape", () => {
  test.each(["direct", "group"])("are told apart, and known again, also from the segments (%s)", async (kind) => {
    const { device, one, other, group } = await pair();
    const to = kind === "group" ? group : `@${other.user}`;
    const first = new Map<string, SentFrame>();
    for (const ref of ODD_REFS) device.post(to, `text of ${ref}`, ref);
    for (const ref of ODD_REFS) {
      const sent = await device.take("sent");
      expect([sent.ref, sent.duplicate]).toEqual([ref, undefined]);
      first.set(ref, sent);
    }
    const expectRepeats = async (from: Device, retry: boolean) => {
      for (const ref of ODD_REFS.toReversed()) {
        expect(await from.say(to, `text of ${ref}`, ref, retry)).toEqual({ ...first.get(ref)!, duplicate: true });
      }
    };
    await expectRepeats(device, false);
    expect((await node.api.history(one, to)).map(({ ref }) => ref)).toEqual(ODD_REFS);
    await node.restart();
    await expectRepeats(await node.connect(one), true);
    await expectRepeats(await node.connect(one), false);
    expect(await node.api.history(one, to)).toHaveLength(ODD_REFS.length);
  });

  test("any sequence of refs is answered as a table of refs would", async () => {
    const refs = fc.stringMatching(/^[ab0-3]{1,4}$/);
    const sends = fc.array(
      fc.record({ ref: refs, text: fc.constantFrom("x", "y"), isGroup: fc.boolean(), retry: fc.boolean() }),
      { maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(sends, async (list) => {
        const { device, one, other, group } = await pair();
        for (const { ref, text, isGroup, retry } of list)
          device.post(isGroup ? group : `@${other.user}`, text, ref, retry);
        const answers = [];
        for (const { ref } of list) answers.push(await device.answerTo(ref));
        for (const [ref, sends] of Map.groupBy(list, (send) => send.ref)) {
          const [{ text, isGroup }] = sends as [(typeof sends)[0]];
          const repeats = sends.filter((send) => send.text === text && send.isGroup === isGroup).length - 1;
          const sent = answers.filter((answer) => answer.t === "sent" && answer.ref === ref) as SentFrame[];
          expect(sent.map(({ duplicate }) => duplicate ?? false)).toEqual([
            false,
            ...Array<boolean>(repeats).fill(true),
          ]);
          expect(new Set(sent.map(({ id }) => id)).size).toBe(1);
          const errors = answers.filter((answer) => answer.t === "error" && answer.ref === ref);
          expect(errors).toHaveLength(sends.length - sent.length);
          const stored = await node.api.history(one, isGroup ? group : `@${other.user}`);
          expect(stored.filter((message) => message.ref === ref)).toMatchObject([{ id: sent[0]!.id, text }]);
        }
      }),
      seeded(20),
    );
  });
});

describe("after a restart", () => {
  let server: TestProcess;
  let one: Credentials;
  beforeAll(async () => {
    server = await TestProcess.start();
    [one] = (await server.api.users("alice", "bob")) as [Credentials];
    await server.api.group(one, "hikers", ["bob"]);
  });
  afterAll(() => server.remove());

  test.each(["kill -9", "SIGTERM"])("refs are known again, marked or within the minute unmarked (%s)", async (how) => {
    const before = await server.connect(one);
    const sends: [to: string, ref: string][] = [
      ["@bob", `${how} 1`],
      ["#hikers", `${how} 2`],
      ["@alice", `${how} 3`],
      ["@bob", `${how} 007`],
    ];
    const sent = [];
    for (const [to, ref] of sends) sent.push(await before.say(to, "hello", ref));
    if (how === "SIGTERM") expect(await server.stop()).toBe(0);
    else await server.kill();
    await server.start();
    const after = await server.connect(one);
    for (const retry of [false, true]) {
      for (const [index, [to, ref]] of sends.entries()) {
        expect(await after.say(to, "hello", ref, retry)).toEqual({ ...sent[index]!, duplicate: true });
        expect(await after.ask(to, "goodbye", ref, retry)).toMatchObject({ t: "error", code: "ref_conflict", ref });
        const elsewhere = to === "@bob" ? "#hikers" : "@bob";
        expect(await after.ask(elsewhere, "hello", ref, retry)).toMatchObject({
          t: "error",
          code: "ref_conflict",
          ref,
        });
      }
    }
    const answer = await server.api.post("/v1/messages", one.token, { to: "@bob", text: "hello", ref: `${how} 1` });
    expect([answer.status, answer.body.id]).toEqual([200, sent[0]!.id]);
    const history = await server.api.history(one, "@bob");
    expect(history.filter(({ ref }) => ref?.startsWith(how))).toHaveLength(2);
  });
});
