import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startHttpServer, type HttpServer } from "./http-server.ts";
import { GROUP } from "./scripted-services.ts";

let server: HttpServer;
let token = "";
beforeAll(async () => {
  server = await startHttpServer({ limits: { groupMembersMax: 3 } });
  ({ token } = await server.user());
});
beforeEach(() => {
  server.script.asked.length = 0;
});
afterAll(() => server.stop());

const call = (method: string, path: string, body?: unknown) => server.call(method, path, { token, body });

describe("groups", () => {
  test("are created, with an id or without", async () => {
    const { status, body } = await call("POST", "/v1/groups", { id: "ubuntu", name: "Ubuntu", members: ["bob"] });
    expect([status, body]).toEqual([201, GROUP]);
    await call("POST", "/v1/groups", { name: "Ubuntu", members: [] });
    expect(server.script.asked).toEqual([
      ["create", { id: "ubuntu", name: "Ubuntu", members: ["bob"] }],
      ["create", { name: "Ubuntu", members: [] }],
    ]);
  });

  test("are read, renamed and dissolved by id", async () => {
    expect((await call("GET", "/v1/groups/ubuntu")).body).toEqual(GROUP);
    expect((await call("PATCH", "/v1/groups/ubuntu", { name: "New" })).body).toEqual(GROUP);
    expect((await call("DELETE", "/v1/groups/ubuntu")).status).toBe(204);
    expect(server.script.asked).toEqual([
      ["get", "#ubuntu"],
      ["change", "#ubuntu", { name: "New" }],
      ["dissolve", "#ubuntu"],
    ]);
  });

  test("are told how many days to keep messages, or to keep them as the server does", async () => {
    for (const keepDays of [1, 36_500, null])
      expect((await call("PATCH", "/v1/groups/ubuntu", { keepDays })).status).toBe(200);
    await call("PATCH", "/v1/groups/ubuntu", { name: "New", keepDays: 7 });
    expect(server.script.asked).toEqual([
      ["change", "#ubuntu", { keepDays: 1 }],
      ["change", "#ubuntu", { keepDays: 36_500 }],
      ["change", "#ubuntu", { keepDays: null }],
      ["change", "#ubuntu", { name: "New", keepDays: 7 }],
    ]);
  });

  test("get members and roles by PUT, with `member` for an empty body, and lose them by DELETE", async () => {
    expect((await call("PUT", "/v1/groups/ubuntu/members/bob", { role: "admin" })).status).toBe(204);
    expect((await call("PUT", "/v1/groups/ubuntu/members/bob")).status).toBe(204);
    expect((await call("DELETE", "/v1/groups/ubuntu/members/bob")).status).toBe(204);
    expect(server.script.asked).toEqual([
      ["putMember", "#ubuntu", "bob", "admin"],
      ["putMember", "#ubuntu", "bob", "member"],
      ["removeMember", "#ubuntu", "bob"],
    ]);
  });

  test.each([
    ["POST", "/v1/groups", { name: "x" }, "members: missing, expected a list"],
    ["POST", "/v1/groups", { members: [] }, "name: missing"],
    ["POST", "/v1/groups", { name: "", members: [] }, "name: must not be empty"],
    ["POST", "/v1/groups", { name: "x", members: ["bob", "@eve"] }, `members.1: "@eve" is not`],
    ["POST", "/v1/groups", { name: "x", members: "bob" }, "members: expected a list, got a string"],
    ["POST", "/v1/groups", { id: "#x", name: "x", members: [] }, `id: "#x" is not`],
    ["PATCH", "/v1/groups/ubuntu", {}, "name: missing"],
    ["PATCH", "/v1/groups/ubuntu", { keepDays: 0 }, "keepDays: "],
    ["PATCH", "/v1/groups/ubuntu", { keepDays: -1 }, "keepDays: "],
    ["PATCH", "/v1/groups/ubuntu", { keepDays: 1.5 }, "keepDays: "],
    ["PATCH", "/v1/groups/ubuntu", { keepDays: "30" }, "keepDays: "],
    ["PATCH", "/v1/groups/ubuntu", { keepDays: 36_501 }, "keepDays: "],
    ["PATCH", "/v1/groups/ubuntu", undefined, "body: missing, expected an object"],
    ["PUT", "/v1/groups/ubuntu/members/bob", { role: "owner" }, `role: expected "admin" or "member", got "owner"`],
    ["PUT", "/v1/groups/ubuntu/members/B", {}, `user: "B" is not`],
    ["GET", "/v1/groups/%23ubuntu", undefined, `id: "#ubuntu" is not`],
  ])("%s %s %j is 400 bad_request", async (method, path, body, detail) => {
    const answer = await call(method, path, body);
    expect([answer.status, answer.body.code]).toEqual([400, "bad_request"]);
    expect(answer.body.detail).toStartWith(detail);
    expect(server.script.asked).toEqual([]);
  });

  test("beyond the most members are 413 too_large", async () => {
    const { status, body } = await call("POST", "/v1/groups", { name: "x", members: ["a", "b", "c", "d"] });
    expect([status, body.code, body.detail]).toEqual([413, "too_large", "members: 4 users, at most 3"]);
  });
});
