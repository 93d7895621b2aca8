/** Damage in one shard: its users and groups are unavailable and hear why, all others go on. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { CorruptionError } from "../../storage/errors.ts";
import { damageRecent, neighbour } from "../support/damage.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const SAD = neighbour("#", "@bob");
const WORDS = 'is damaged; the operator of this server must run "parley repair"';

let node: TestNode;
let lines: { level: string; message: string; shards?: string; count?: number; times?: number }[];
let alice: Credentials;
let bob: Credentials;
let cem: Credentials;

/**
 * Alice and Cem are well. Bob and the group SAD live in the shard that will be damaged, and Bob is in the group of the
 * others.
 */
async function begin(): Promise<void> {
  lines = [];
  const log = (line: string): void => void lines.push(JSON.parse(line) as (typeof lines)[number]);
  const maintenanceTimes = { firstMs: 50, sweepMs: 50, firstCompactMs: 100, compactMs: 100, againMs: 50 };
  node = await startTestNode({ logLevel: "warn" }, { log, maintenanceTimes });
  [alice, bob, cem] = (await node.api.users("alice", "bob", "cem")) as [Credentials, Credentials, Credentials];
  await node.api.group(alice, "team", ["bob", "cem"]);
  await node.api.group(alice, SAD, ["cem"]);
  const device = await node.connect(alice);
  for (const to of ["@bob", "@cem", "#team", `#${SAD}`]) await device.say(to, `hello ${to}`);
}

const errors = () => lines.filter(({ level }) => level === "error");
const refused = async (what: ReturnType<TestNode["api"]["call"]>, who: string): Promise<void> => {
  const { status, body } = await what;
  expect({ status, ...body }).toMatchObject({ status: 503, code: "unavailable", retryAfterMs: 60_000 });
  expect(body.detail).toContain(`${who} ${WORDS}`);
};

describe.each([
  ["found when the server starts", "shard"],
  ["met when somebody asks", "page"],
] as const)("damage that is %s", (_, table) => {
  beforeAll(async () => {
    await begin();
    await node.restart({}, () => damageRecent(node.dataDirectory, "@bob", table));
    // Maintenance looks into every shard.
    await until("the damage is told", () => errors().length > 0);
  });
  afterAll(() => node.stop());

  test("is logged once, with the shard and what to do, and is shown at /readyz", async () => {
    expect(errors()).toMatchObject([{ count: 1, message: expect.stringContaining("parley repair") }]);
    expect(errors()[0]!.shards).toMatch(/^\d+$/);
    expect((await node.api.call("GET", "/readyz")).body).toEqual({ status: "ready", damagedShards: 1 });
    for (let n = 0; n < 3; n++) await refused(node.api.get("/v1/conversations", bob.token), "@bob");
    expect(errors()).toHaveLength(1);
  });

  test("refuses its own users with the reason, and nobody else", async () => {
    await refused(node.api.get("/v1/conversations", bob.token), "@bob");
    await refused(node.api.call("POST", "/v1/login", undefined, { user: "bob", password: "some password" }), "@bob");
    await refused(
      node.api.call("POST", "/v1/register", undefined, { user: "bob", password: "another password" }),
      "@bob",
    );
    const stranger = neighbour("@", "@bob");
    await refused(node.api.keyed("POST", "/v1/users", { user: stranger }), `@${stranger}`);
    expect(await node.connect(bob).catch((error: Error) => error.message)).toContain("parley repair");
    const [one, two] = [await node.connect(alice), await node.connect(cem)];
    await one.say("@cem", "we go on");
    expect(await two.take("message")).toMatchObject({ text: "we go on", from: "alice" });
    expect((await node.api.user("dora")).user).toBe("dora");
  });

  test("refuses what is sent to its users and groups, and leaves no half of it", async () => {
    const device = await node.connect(alice);
    const before = device.welcome.timeline;
    for (const to of ["@bob", `#${SAD}`]) {
      expect(await device.ask(to, "never", `to-${to.slice(1)}`)).toMatchObject({
        code: "unavailable",
        retryAfterMs: 60_000,
      });
      await refused(node.api.post("/v1/messages", alice.token, { to, text: "never", ref: `http-${to.slice(1)}` }), to);
    }
    expect((await device.say("@cem", "next")).seq).toBe(before + 1);
    expect((await node.api.history(alice, "@bob")).map(({ text }) => text)).toEqual(["hello @bob"]);
    await refused(node.api.get(`/v1/conversations/%23${SAD}/messages`, alice.token), `#${SAD}`);
  });

  test("in a group's shard takes nothing else from its members", async () => {
    const device = await node.connect(cem, FROM_THE_BEGINNING);
    await device.take("live");
    expect(Object.keys(device.welcome.groups)).toEqual(["#team"]);
    expect(device.all("message").map(({ text }) => text)).toEqual(
      expect.arrayContaining(["hello @cem", "hello #team"]),
    );
    expect(device.all("message").map(({ conversation }) => conversation)).not.toContain(`#${SAD}`);
    const { body } = await node.api.get("/v1/conversations", cem.token);
    const listed = body.conversations.map(({ conversation }: { conversation: string }) => conversation);
    expect(listed.toSorted()).toEqual(["#team", "@alice"]);
    const sync = await node.api.post("/v1/sync", cem.token, {
      cursor: { epoch: "", timeline: 0, groups: {} },
      waitMs: 0,
    });
    expect(sync.status).toBe(200);
    // A device that had something of it still has it there.
    const cursor = { ...FROM_THE_BEGINNING, groups: { [`#${SAD}`]: { epoch: "old", seq: 2 } } };
    const again = await node.connect(cem, cursor);
    await again.take("live");
    expect([again.all("reset"), again.all("gap")]).toEqual([[], []]);
  });

  test("in a member's shard does not keep the group from the other members", async () => {
    const [one, two] = [await node.connect(alice), await node.connect(cem)];
    const { seq } = await one.say("#team", "without bob");
    expect(await two.take("message")).toMatchObject({ text: "without bob", conversation: "#team" });
    two.send({ t: "received", conversation: "#team", seq });
    two.send({ t: "read", conversation: "#team", seq });
    await one.take("receipt", ({ kind }) => kind === "read");
    await refused(node.api.call("DELETE", "/v1/groups/team/members/bob", alice.token), "@bob");
    await refused(node.api.call("DELETE", "/v1/groups/team", alice.token), "@bob");
    await refused(
      node.api.post("/v1/groups", alice.token, { id: "fresh", name: "x", members: ["bob", "cem"] }),
      "@bob",
    );
    expect((await node.api.get("/v1/groups/team", cem.token)).body.members).toHaveLength(3);
    expect((await node.api.call("DELETE", "/v1/groups/team/members/cem", cem.token)).status).toBe(204);
  });

  test("accepts marks of messages from its users, who get no receipt", async () => {
    const device = await node.connect(bob).catch(() => undefined);
    expect(device).toBeUndefined();
    const one = await node.connect(alice);
    one.send({ t: "received", seq: one.welcome.timeline });
    one.send({ t: "read", conversation: "@bob", seq: one.welcome.timeline });
    expect((await one.untaken()).filter(({ t }) => t === "error")).toEqual([]);
  });

  test("interrupts only the erasure that reaches into it: the rest is erased, and it is not reported as done", async () => {
    const { status } = await node.api.post("/v1/me/erasure", alice.token, { user: "alice" });
    // It would have to know how far the group goes.
    expect(status).toBe(503);
    await node.api.call("DELETE", `/v1/groups/${SAD}/members/alice`, alice.token);
    const dora = await node.api.user("dora");
    const device = await node.connect(dora);
    await device.say("@alice", "from dora");
    expect((await node.api.post("/v1/me/erasure", dora.token, { user: "dora" })).status).toBe(202);
    await until("dora's content is erased", async () => {
      return (await node.api.get("/v1/me/erasure", dora.token)).body.state === "done";
    });
    expect((await node.api.history(alice, "@dora")).map(({ text }) => text)).toEqual([undefined as never]);
  });

  test("is remembered: the shard stays closed at the next start, and a strict one refuses", async () => {
    const device = await node.connect(alice);
    await device.say("@cem", "before the stop");
    await node.restart();
    await refused(node.api.get("/v1/conversations", bob.token), "@bob");
    expect((await node.api.history(cem, "@alice")).map(({ text }) => text)).toEqual([
      "hello @cem",
      "we go on",
      "next",
      "before the stop",
    ]);
    expect(await node.restart({ strict: true }).catch((error: unknown) => error)).toBeInstanceOf(CorruptionError);
    await node.restart();
  });
});

describe("a server", () => {
  beforeEach(begin);
  afterEach(() => node.stop());

  test("a strict server does not start over damage, and changes nothing", async () => {
    const strict = node.restart({ strict: true }, () => damageRecent(node.dataDirectory, "@bob", "shard"));
    expect(await strict.catch((error: unknown) => error)).toBeInstanceOf(CorruptionError);
    await node.restart();
    expect((await node.api.call("GET", "/readyz")).body).toEqual({ status: "ready", damagedShards: 1 });
  });

  test("connected users of a shard are closed with the reason when its damage is found, and other users are not", async () => {
    await node.restart();
    const [one, two] = [await node.connect(alice), await node.connect(bob)];
    await one.say("@bob", "still well");
    await two.take("message");
    damageRecent(node.dataDirectory, "@bob", "page");
    const before = two.welcome.timeline;
    expect(before).toBeGreaterThan(0);
    // Nothing of it was read since the start but what loading read.
    await until("the damage is met", async () => {
      await node.api.get(`/v1/conversations/%23${SAD}/messages`, alice.token);
      return errors().length > 0;
    });
    expect(await two.end()).toMatchObject({ code: 4003, reason: expect.stringContaining("damaged") });
    await one.say("@cem", "here still");
  });
});
