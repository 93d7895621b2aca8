/** Groups over HTTP and sockets: who may change what, and what everybody sees of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { ServerFrame } from "../../src/protocol/frames.ts";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

const faults = new FaultyFiles();
let node: TestNode;
let ann: Credentials;
let ben: Credentials;
let cat: Credentials;
let id: string;
let round = 0;

beforeAll(async () => {
  node = await startTestNode({ groupMembersMax: 5, groupAddsMax: 1000 }, { files: faults.files });
  [ann, ben, cat] = (await node.api.users("ann", "ben", "cat")) as [Credentials, Credentials, Credentials];
});
afterAll(() => node.stop());
beforeEach(async () => {
  id = `g${++round}`;
  await node.api.group(ann, id, ["ben"]);
});

const call = (method: string, who: Credentials, path = "", body?: unknown) =>
  node.api.call(method, `/v1/groups/${id}${path}`, who.token, body);
const put = (who: Credentials, user: string, role?: string) =>
  call("PUT", who, `/members/${user}`, role === undefined ? {} : { role });
const remove = (who: Credentials, user: string) => call("DELETE", who, `/members/${user}`);
const members = async (who: Credentials): Promise<Record<string, string>> => {
  const { body } = await call("GET", who);
  return Object.fromEntries(body.members.map(({ user, role }: { user: string; role: string }) => [user, role]));
};
const refused = async (answer: ReturnType<typeof call>): Promise<[number, string]> => {
  const { status, body } = await answer;
  return [status, body.code];
};
const ofGroup = (frames: ServerFrame[]) =>
  frames.filter((frame) => "conversation" in frame && frame.conversation === `#${id}`);

describe("creating", () => {
  test("makes the creator admin and everybody named a member, once each", async () => {
    const { status, body } = await node.api.post("/v1/groups", ann.token, {
      id: `${id}-new`,
      name: "New",
      members: ["ben", "ann", "ben"],
    });
    expect(status).toBe(201);
    expect(body).toEqual({
      id: `${id}-new`,
      name: "New",
      createdAt: expect.any(Number),
      head: { epoch: expect.any(String), seq: 1 },
      members: [
        { user: "ann", role: "admin" },
        { user: "ben", role: "member" },
      ],
    });
  });

  test("without an id makes one", async () => {
    const { body } = await node.api.post("/v1/groups", ann.token, { name: "No id", members: [] });
    expect(body.id).toMatch(/^[a-z2-7]{12}$/);
    expect((await node.api.get(`/v1/groups/${body.id}`, ann.token)).body).toEqual(body);
  });

  test("is refused for a taken id, unknown members, and too many", async () => {
    const create = (changes: object) =>
      refused(node.api.post("/v1/groups", ann.token, { id: `${id}-x`, name: "x", members: [], ...changes }));
    expect(await create({ id })).toEqual([409, "group_taken"]);
    expect(await create({ members: ["ben", "nobody-here"] })).toEqual([404, "unknown_address"]);
    expect(await create({ members: ["ben", "cat", "d", "e", "f", "g"] })).toEqual([413, "too_large"]);
    expect((await node.api.get(`/v1/groups/${id}-x`, ann.token)).status).toBe(404);
  });

  test("of one id at the same moment succeeds for one", async () => {
    const create = (who: Credentials) =>
      node.api.post("/v1/groups", who.token, { id: `${id}-race`, name: "race", members: [] });
    const answers = await Promise.all([ann, ben, cat, ann].map(create));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409, 409, 409]);
  });

  test("is seen by its members at once, in their timelines and in its log", async () => {
    const device = await node.connect(ben);
    const { head } = await node.api.group(ann, `${id}-seen`, ["ben"]);
    const conversation = `#${id}-seen`;
    expect(await device.take("group")).toEqual({
      t: "group",
      conversation,
      seq: 1,
      change: "created",
      epoch: head.epoch,
      by: "ann",
      at: expect.any(Number),
      name: `the ${id}-seen`,
      members: ["ann", "ben"],
    });
    expect(await device.take("membership")).toMatchObject({ conversation, change: "joined", groupSeq: 1 });
  });
});

describe("who is not in it", () => {
  test("and never was, can neither read, write, change nor leave it, and cannot tell it from one that is not there", async () => {
    const device = await node.connect(cat);
    expect(await device.ask(`#${id}`, "hello")).toMatchObject({ t: "error", code: "unknown_address" });
    expect(await device.ask("#never-was", "hello")).toMatchObject({ t: "error", code: "unknown_address" });
    const paths: [string, string, unknown?][] = [
      ["GET", `/v1/groups/${id}`],
      ["PATCH", `/v1/groups/${id}`, { name: "mine" }],
      ["DELETE", `/v1/groups/${id}`],
      ["PUT", `/v1/groups/${id}/members/cat`, {}],
      ["DELETE", `/v1/groups/${id}/members/cat`],
      ["DELETE", `/v1/groups/${id}/members/ben`],
      ["GET", `/v1/conversations/%23${id}`],
      ["GET", `/v1/conversations/%23${id}/messages`],
      ["GET", `/v1/entries?conversation=%23${id}`],
      ["POST", "/v1/messages", { to: `#${id}`, text: "x", ref: `x-${round}` }],
    ];
    for (const [method, path, body] of paths) {
      const here = await node.api.call(method, path, cat.token, body);
      expect([path, here.status, here.body.code]).toEqual([path, 404, "unknown_address"]);
      const nowhere = path.replace(id, "never-was");
      const elsewhere = method === "POST" ? { ...(body as object), to: "#never-was" } : body;
      const there = await node.api.call(method, nowhere, cat.token, elsewhere);
      const details = [here, there].map(({ body: { detail } }) => detail.replace(id, "").replace("never-was", ""));
      expect([nowhere, there.status, there.body.code, details[1]]).toEqual([
        nowhere,
        404,
        "unknown_address",
        details[0],
      ]);
    }
    for (const t of ["read", "received"] as const) {
      device.send({ t, conversation: `#${id}`, seq: 1 });
      expect(await device.take("error")).toMatchObject({ code: "not_a_member" });
    }
    expect(await members(ann)).toEqual({ ann: "admin", ben: "member" });
  });
});

describe("an admin", () => {
  test("renames, adds, promotes, demotes and removes; a plain member does none of it", async () => {
    for (const answer of [
      call("PATCH", ben, "", { name: "Ben's" }),
      put(ben, "cat"),
      put(ben, "ben", "admin"),
      remove(ben, "ann"),
      call("DELETE", ben),
    ]) {
      expect(await refused(answer)).toEqual([403, "forbidden"]);
    }
    expect((await put(ann, "cat")).status).toBe(204);
    expect(await members(ben)).toEqual({ ann: "admin", ben: "member", cat: "member" });
    expect((await put(ann, "ben", "admin")).status).toBe(204);
    expect((await call("PATCH", ben, "", { name: "Ben's" })).body.name).toBe("Ben's");
    expect((await put(ben, "ann", "member")).status).toBe(204);
    expect((await remove(ben, "cat")).status).toBe(204);
    expect(await members(ann)).toEqual({ ann: "member", ben: "admin" });
    expect(await refused(put(ann, "cat"))).toEqual([403, "forbidden"]);
    const { body } = await node.api.get(`/v1/entries?conversation=%23${id}`, ann.token);
    expect(
      body.frames.map(({ seq, change, by, user, role, name }: Record<string, unknown>) => ({
        seq,
        change,
        by,
        user,
        role,
        name,
      })),
    ).toEqual([
      { seq: 1, change: "created", by: "ann", name: `the ${id}` },
      { seq: 2, change: "joined", by: "ann", user: "cat", role: "member" },
      { seq: 3, change: "role", by: "ann", user: "ben", role: "admin" },
      { seq: 4, change: "renamed", by: "ben", name: "Ben's" },
      { seq: 5, change: "role", by: "ben", user: "ann", role: "member" },
      { seq: 6, change: "left", by: "ben", user: "cat" },
    ]);
  });

  test("changes nothing by setting what is so already, and cannot remove who is not in it, nor add who is nobody", async () => {
    expect((await put(ann, "ben", "member")).status).toBe(204);
    expect((await call("PATCH", ann, "", { name: `the ${id}` })).status).toBe(200);
    expect(await refused(remove(ann, "cat"))).toEqual([404, "not_found"]);
    expect(await refused(put(ann, "nobody-here"))).toEqual([404, "unknown_address"]);
    expect((await call("GET", ann)).body.head.seq).toBe(1);
  });

  test("cannot demote the last admin, nor fill the group above its limit", async () => {
    expect(await refused(put(ann, "ann", "member"))).toEqual([403, "forbidden"]);
    const names = ["d", "e", "f", "g"].map((letter) => `${letter}-${round}`);
    await node.api.users(...names);
    for (const name of names.slice(0, 3)) expect((await put(ann, name)).status).toBe(204);
    expect(await refused(put(ann, names[3]!))).toEqual([413, "too_large"]);
    await remove(ann, names[0]!);
    expect((await put(ann, names[3]!)).status).toBe(204);
  });

  test("many changes at the same moment are each checked against the one before", async () => {
    const names = ["m", "n", "o", "p", "q", "r"].map((letter) => `${letter}-${round}`);
    await node.api.users(...names);
    const answers = await Promise.all(names.map((name) => put(ann, name)));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 204, 204, 413, 413, 413]);
    await put(ann, "ben", "admin");
    const demoted = await Promise.all([put(ann, "ben", "member"), put(ben, "ann", "member")]);
    expect(demoted.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 403]);
    expect(Object.values(await members(ann)).filter((role) => role === "admin")).toHaveLength(1);
  });
});

describe("leaving", () => {
  test("anybody may, and sees nothing of it afterwards; the others are told, and so are the leaver's devices", async () => {
    const [leaver, stays] = [await node.connect(ben), await node.connect(ann)];
    const sent = await stays.say(`#${id}`, "before");
    expect((await remove(ben, "ben")).status).toBe(204);
    expect(await leaver.take("group", ({ change }) => change === "left")).toMatchObject({
      user: "ben",
      by: "ben",
      seq: sent.seq + 1,
    });
    expect(await leaver.take("membership", ({ change }) => change === "left")).toMatchObject({
      groupSeq: sent.seq + 1,
    });
    expect(await stays.take("group", ({ change }) => change === "left")).toMatchObject({ user: "ben" });
    await stays.say(`#${id}`, "after");
    expect(ofGroup(await leaver.untaken())).toEqual([expect.objectContaining({ t: "message", text: "before" })]);
    expect(await refused(call("GET", ben))).toEqual([403, "not_a_member"]);
    expect(await leaver.ask(`#${id}`, "am I in?")).toMatchObject({ t: "error", code: "not_a_member" });
    expect(
      (await node.api.get("/v1/conversations?limit=200", ben.token)).body.conversations.map(
        ({ conversation }: { conversation: string }) => conversation,
      ),
    ).not.toContain(`#${id}`);
    expect((await node.connect(ben)).welcome.groups[`#${id}`]).toBeUndefined();
  });

  test("of the last admin makes an admin of whoever has been in it longest", async () => {
    await put(ann, "cat");
    await remove(ann, "ann");
    expect(await members(ben)).toEqual({ ben: "admin", cat: "member" });
    await remove(ben, "ben");
    expect(await members(cat)).toEqual({ cat: "admin" });
    const { body } = await node.api.get(`/v1/entries?conversation=%23${id}`, cat.token);
    expect(
      body.frames.slice(2).map(({ change, user, role }: Record<string, unknown>) => ({ change, user, role })),
    ).toEqual([
      { change: "role", user: "ben", role: "admin" },
      { change: "left", user: "ann" },
      { change: "role", user: "cat", role: "admin" },
      { change: "left", user: "ben" },
    ]);
  });

  test("of one admin of several makes nobody admin", async () => {
    await put(ann, "ben", "admin");
    await put(ann, "cat");
    await remove(ann, "ann");
    expect(await members(ben)).toEqual({ ben: "admin", cat: "member" });
  });

  test("of the last member ends the group: nobody can come back, and it is unknown", async () => {
    await remove(ann, "ben");
    expect((await remove(ann, "ann")).status).toBe(204);
    for (const who of [ann, ben]) {
      const { status, body } = await call("GET", who);
      expect([status, body.code, body.detail]).toEqual([
        404,
        "unknown_address",
        `#${id}: all members have left the group`,
      ]);
      expect(await refused(put(who, who.user))).toEqual([404, "unknown_address"]);
    }
  });

  test("and coming back continues the same log", async () => {
    const device = await node.connect(ann);
    await remove(ben, "ben");
    const missed = await device.say(`#${id}`, "while ben was out");
    expect((await put(ben, "ben")).status).toBe(204);
    const history = await node.api.history(ben, `#${id}`);
    expect(history.map(({ seq }) => seq)).toEqual([missed.seq]);
    const { body } = await node.api.get(`/v1/conversations/%23${id}`, ben.token);
    expect(body).toMatchObject({ unread: 0, lastSeq: missed.seq + 1 });
  });
});

describe("against one's will", () => {
  test("who has left is not added again; they can come back by themselves, as a member", async () => {
    await put(ann, "ben", "admin");
    await remove(ben, "ben");
    expect(await refused(put(ann, "ben"))).toEqual([403, "forbidden"]);
    expect((await put(ben, "ben", "admin")).status).toBe(204);
    expect(await members(ann)).toEqual({ ann: "admin", ben: "member" });
    expect((await put(ann, "ben", "admin")).status).toBe(204);
  });

  test("who was removed cannot come back by themselves, and can be added again", async () => {
    await remove(ann, "ben");
    expect(await refused(put(ben, "ben"))).toEqual([403, "not_a_member"]);
    expect((await put(ann, "ben")).status).toBe(204);
  });

  test("that somebody has left is known after a restart, too", async () => {
    await remove(ben, "ben");
    await node.restart();
    expect(await refused(put(ann, "ben"))).toEqual([403, "forbidden"]);
    expect((await put(ben, "ben")).status).toBe(204);
  });

  test("the same person is put into groups a few times, and others still can be, by others too", async () => {
    await node.restart({ groupAddsMax: 2 });
    const add = (who: Credentials, group: string, members: string[]) =>
      node.api.post("/v1/groups", who.token, { id: `${id}-${group}`, name: "trap", members });
    expect((await add(ann, "one", ["ben"])).status).toBe(201);
    expect((await add(ann, "two", ["ben"])).status).toBe(201);
    const third = await add(ann, "three", ["ben"]);
    expect([third.status, third.body.code]).toEqual([429, "rate_limited"]);
    expect(third.body.retryAfterMs).toBeGreaterThan(1000);
    expect((await add(ann, "four", ["cat"])).status).toBe(201);
    expect((await add(cat, "five", ["ben"])).status).toBe(201);
    await node.restart({ groupAddsMax: 1000 });
  });

  test("who could not be put into a group, or was in it already, was not put into it", async () => {
    await node.restart({ groupAddsMax: 2 });
    const create = (group: string) =>
      node.api.post("/v1/groups", cat.token, { id: group, name: "again", members: ["ben"] });
    for (let n = 0; n < 3; n++) expect((await create(id)).body.code).toBe("group_taken");
    expect((await create(`${id}-own`)).status).toBe(201);
    const role = (who: string, to: string) =>
      node.api.call("PUT", `/v1/groups/${id}-own/members/${who}`, cat.token, { role: to });
    for (const to of ["admin", "member", "admin", "member"]) expect((await role("ben", to)).status).toBe(204);
    expect((await create(`${id}-other`)).status).toBe(201);
    expect((await create(`${id}-third`)).body.code).toBe("rate_limited");
    await node.restart({ groupAddsMax: 1000 });
  });
});

describe("dissolving", () => {
  test("tells everybody, and afterwards the group is unknown", async () => {
    const devices = [await node.connect(ann), await node.connect(ben)];
    await devices[0]!.say(`#${id}`, "goodbye");
    expect((await call("DELETE", ann)).status).toBe(204);
    for (const device of devices) {
      expect(await device.take("group")).toMatchObject({ change: "dissolved", by: "ann", seq: 3 });
      expect(await device.take("membership")).toMatchObject({ conversation: `#${id}`, change: "left", groupSeq: 3 });
      expect(await device.ask(`#${id}`, "anybody?")).toMatchObject({ t: "error", code: "unknown_address" });
    }
    const expectDissolved = async (): Promise<void> => {
      const asked = (who: Credentials): ReturnType<typeof call>[] => [
        call("GET", who),
        call("PATCH", who, "", { name: "again" }),
        put(who, "cat"),
        remove(who, "ann"),
        call("DELETE", who),
        node.api.get(`/v1/conversations/%23${id}`, who.token),
        node.api.get(`/v1/conversations/%23${id}/messages`, who.token),
        node.api.get(`/v1/entries?conversation=%23${id}`, who.token),
        node.api.post("/v1/messages", who.token, { to: `#${id}`, text: "x", ref: `gone-${round}` }),
      ];
      for (const [who, detail] of [
        [ann, `#${id}: the group was dissolved`],
        [ben, `#${id}: the group was dissolved`],
        [cat, `#${id}: there is no such group`],
      ] as const) {
        for (const { status, body } of await Promise.all(asked(who)))
          expect([who.user, status, body.code, body.detail]).toEqual([who.user, 404, "unknown_address", detail]);
      }
    };
    await expectDissolved();
    await node.restart();
    await expectDissolved();
  });

  test("is the last entry: what is sent while it is on its way is refused", async () => {
    const [sender, other] = [await node.connect(ben), await node.connect(ann)];
    faults.hold();
    try {
      const dissolving = call("DELETE", ann);
      await faults.held();
      await other.untaken();
      sender.post(`#${id}`, "too late", `late-${round}`);
      await sender.untaken();
      faults.release();
      expect((await dissolving).status).toBe(204);
      expect(sender.all("sent")).toEqual([]);
      expect(await sender.ask(`#${id}`, "too late", `late-${round}`, true)).toMatchObject({
        t: "error",
        code: "unknown_address",
      });
    } finally {
      faults.release();
    }
  });

  test("and everything else survives a restart", async () => {
    await put(ann, "cat", "admin");
    await call("PATCH", cat, "", { name: "kept" });
    await remove(cat, "ben");
    const before = (await call("GET", ann)).body;
    const gone = await node.api.group(ann, `${id}-gone`, []);
    await node.api.call("DELETE", `/v1/groups/${gone.id}`, ann.token);
    await node.restart();
    expect((await call("GET", ann)).body).toEqual(before);
    expect((await node.api.get(`/v1/groups/${gone.id}`, ann.token)).status).toBe(404);
    expect((await node.api.get(`/v1/groups/${id}`, ben.token)).status).toBe(403);
  });
});

test("who is being removed, or leaves, says nothing behind the note of it", async () => {
  for (const goes of [() => remove(ann, "ben"), () => remove(ben, "ben")]) {
    await put(ann, "ben");
    const device = await node.connect(ben);
    faults.hold();
    const gone = goes();
    await faults.held();
    device.post(`#${id}`, "too late", "late-1");
    await device.untaken();
    faults.release();
    expect((await gone).status).toBe(204);
    await until("it is answered", () => device.frames.some((frame) => frame.t === "error"));
    expect(device.all("error")).toMatchObject([{ ref: "late-1", code: "not_a_member" }]);
    await device.close();
  }
  const { body } = await node.api.get(`/v1/entries?conversation=${encodeURIComponent(`#${id}`)}`, ann.token);
  expect(body.frames.filter((frame: ServerFrame) => frame.t === "message")).toEqual([]);
});

test("who has just left is not refused what a device says of its entries before it hears of that", async () => {
  const device = await node.connect(ben);
  await remove(ann, "ben");
  device.send({ t: "received", conversation: `#${id}`, seq: 1 });
  expect((await device.untaken()).filter(({ t }) => t === "error")).toEqual([]);
  expect((await call("DELETE", ann)).status).toBe(204);
  device.send({ t: "received", conversation: `#${id}`, seq: 1 });
  expect((await device.untaken()).filter(({ t }) => t === "error")).toEqual([]);
  // What the user does is refused.
  device.send({ t: "read", conversation: `#${id}`, seq: 1 });
  expect(await device.take("error")).toMatchObject({ code: "not_a_member" });
  await device.close();
});
