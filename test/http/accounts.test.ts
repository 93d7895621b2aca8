import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemRandom } from "../../src/base/random.ts";
import type { UserId } from "../../src/domain/address.ts";
import { Passwords } from "../../src/home/accounts/passwords.ts";
import { readProfile } from "../../src/home/state/account-cells.ts";
import { PASSWORD, startHttpServer, type HttpServer } from "./http-server.ts";

let server: HttpServer;
beforeAll(async () => {
  server = await startHttpServer();
});
afterAll(() => server.stop());

const register = (body: unknown) => server.call("POST", "/v1/register", { body });
const login = (body: unknown) => server.call("POST", "/v1/login", { body });

describe("POST /v1/register", () => {
  test("answers 201 with credentials that work", async () => {
    const { status, body } = await register({
      user: "carol",
      password: PASSWORD,
      displayName: "Carol 🦊",
      device: "phone",
    });
    expect([status, body]).toEqual([201, { user: "carol", device: "phone", token: expect.any(String) }]);
    expect((await server.call("GET", "/v1/conversations", { token: body.token })).status).toBe(200);
    expect(readProfile("carol" as UserId, server.cells.cell("carol" as UserId, "profile")!).displayName).toBe(
      "Carol 🦊",
    );
  });

  test("answers 409 user_taken for a name that is there", async () => {
    await register({ user: "dave", password: PASSWORD });
    const { status, body } = await register({ user: "dave", password: PASSWORD });
    expect([status, body.code]).toEqual([409, "user_taken"]);
  });

  test.each([
    [{ password: PASSWORD }, "user: missing, expected a string"],
    [{ user: 5, password: PASSWORD }, "user: expected a string, got a number"],
    [{ user: "Bob", password: PASSWORD }, `user: "Bob" is not 1 to 32 of a-z`],
    [{ user: "", password: PASSWORD }, `user: "" is not 1 to 32`],
    [{ user: "x".repeat(33), password: PASSWORD }, "is not 1 to 32"],
    [{ user: "__proto__", password: PASSWORD }, "is not 1 to 32"],
    [{ user: "eve" }, "password: missing, expected a string"],
    [{ user: "eve", password: "1234567" }, "password: 7 characters, at least 8"],
    [{ user: "eve", password: "p".repeat(1025) }, "password: 1025 bytes of UTF-8, at most 1024"],
    [{ user: "eve", password: `${PASSWORD}\ud800` }, "password: has a lone surrogate"],
    [{ user: "eve", password: 12_345_678 }, "password: expected a string, got a number"],
    [{ user: "eve", password: PASSWORD, displayName: "" }, "displayName: must not be empty"],
    [{ user: "eve", password: PASSWORD, displayName: "é".repeat(65) }, "displayName: 65 characters, at most 64"],
    [{ user: "eve", password: PASSWORD, displayName: "a\nb" }, "displayName: has control characters"],
    [{ user: "eve", password: PASSWORD, displayName: null }, "displayName: expected a string, got null"],
    [{ user: "eve", password: PASSWORD, device: "My Phone" }, `device: "My Phone" is not`],
    [[], "body: expected an object, got a list"],
    [null, "body: expected an object, got null"],
    ["5", "body: expected an object, got a number"],
  ])("refuses %j and says why", async (body, detail) => {
    const answer = await register(body);
    expect([answer.status, answer.body.code]).toEqual([400, "bad_request"]);
    expect(answer.body.detail).toContain(detail);
    expect(JSON.stringify(answer.body)).not.toContain("12345678");
  });

  test("takes a display name of 64 characters beyond the basic plane, and ignores fields it does not know", async () => {
    const body = `{"user":"erin","password":"${PASSWORD}","displayName":"${"🦊".repeat(64)}","__proto__":{"user":"x"},"constructor":1,"later":[]}`;
    expect((await register(body)).status).toBe(201);
  });

  test("answers 403 forbidden when registration is closed", async () => {
    const closed = await startHttpServer({ accounts: { isRegistrationOpen: false } });
    const { status, body } = await closed.call("POST", "/v1/register", { body: { user: "eve", password: PASSWORD } });
    expect([status, body.code]).toEqual([403, "forbidden"]);
    await closed.stop();
  });
});

describe("POST /v1/login", () => {
  test("answers 200 with credentials of a fresh device", async () => {
    await register({ user: "frank", password: PASSWORD });
    const { status, body } = await login({ user: "frank", password: PASSWORD });
    expect([status, body.device]).toEqual([200, expect.stringMatching(/^d-/)]);
    expect((await server.call("GET", "/v1/conversations", { token: body.token })).status).toBe(200);
  });

  test("answers 401 bad_credentials for a wrong password and for nobody alike, too short ones included", async () => {
    await register({ user: "grace", password: PASSWORD });
    const wrong = await login({ user: "grace", password: "wrong horse" });
    expect([wrong.status, wrong.body.code]).toEqual([401, "bad_credentials"]);
    expect(wrong.headers.get("www-authenticate")).toStartWith("Bearer");
    expect((await login({ user: "no-one", password: "wrong horse" })).body).toEqual(wrong.body);
    expect((await login({ user: "grace", password: "x" })).body).toEqual(wrong.body);
    expect((await login({ user: "grace", password: "" })).body).toEqual(wrong.body);
  });

  test("answers 429 rate_limited after ten wrong passwords, with the time to wait", async () => {
    for (let i = 0; i < 10; i++) await login({ user: "heidi", password: "wrong horse" });
    const { status, body, headers } = await login({ user: "heidi", password: "wrong horse" });
    expect([status, body.code, body.retryAfterMs, headers.get("retry-after")]).toEqual([
      429,
      "rate_limited",
      60_000,
      "60",
    ]);
  });

  test("answers 503 unavailable with Retry-After when too many passwords wait", async () => {
    const passwords = await Passwords.open({ memoryKiB: 4096, passes: 1, concurrency: 1, queueMax: 1 }, systemRandom);
    const small = await startHttpServer({ accounts: { passwords } });
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => small.call("POST", "/v1/login", { body: { user: "ivan", password: PASSWORD } })),
    );
    const refused = answers.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    expect([refused[0]?.body.code, refused[0]?.headers.get("retry-after")]).toEqual(["unavailable", "2"]);
    await small.stop();
  });

  test("a flood of passwords from one address does not keep another from logging in", async () => {
    const passwords = await Passwords.open({ memoryKiB: 1024, passes: 1, concurrency: 1, queueMax: 4 }, systemRandom);
    const small = await startHttpServer({ accounts: { passwords } });
    await small.user("kim");
    const from = (address: string, user: string, password: string) =>
      small.call("POST", "/v1/login", { body: { user, password }, headers: { "x-forwarded-for": address } });
    let isOver = false;
    const flood = Array.from({ length: 16 }, async (_, n) => {
      while (!isOver) await from("203.0.113.9", `guessed-${n}`, "wrong horse");
    });
    const statuses: number[] = [];
    for (let n = 0; n < 10; n++) statuses.push((await from("198.51.100.7", "kim", PASSWORD)).status);
    isOver = true;
    await Promise.all(flood);
    expect(statuses).toEqual(Array(10).fill(200));
    await small.stop();
  });
});

describe("POST /v1/logout", () => {
  test("answers 204, and the token is dead", async () => {
    const { token } = await server.user("judy");
    expect((await server.call("POST", "/v1/logout", { token })).status).toBe(204);
    const { status, body } = await server.call("GET", "/v1/conversations", { token });
    expect([status, body.code]).toEqual([401, "unauthorized"]);
  });
});

describe("authorization", () => {
  test.each([
    [undefined, "missing"],
    ["", "expected 'Bearer <token>'"],
    ["Bearer", "expected 'Bearer <token>'"],
    ["Bearer a b", "expected 'Bearer <token>'"],
    ["Bearer  x", "expected 'Bearer <token>'"],
    ["Basic YWxpY2U6eA==", "expected 'Bearer <token>'"],
    ["Bearer a, Bearer b", "expected 'Bearer <token>'"],
    [`Bearer ${"x".repeat(4000)}`, "expected 'Bearer <token>'"],
    ["Bearer not.a.token", "not one of this server's"],
  ])("%j is 401 unauthorized", async (authorization, detail) => {
    const headers = authorization === undefined ? {} : { authorization };
    const answer = await server.call("GET", "/v1/conversations", { headers });
    expect([answer.status, answer.body.code]).toEqual([401, "unauthorized"]);
    expect(answer.body.detail).toContain(detail);
    expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="parley", error="invalid_token"');
  });

  test("the scheme is read in any case", async () => {
    const { token } = await server.user("kim");
    expect(
      (await server.call("GET", "/v1/conversations", { headers: { authorization: `bEARER ${token}` } })).status,
    ).toBe(200);
  });

  test("comes before the body: a stranger's body is not looked at", async () => {
    const { status } = await server.call("POST", "/v1/messages", { body: "{" });
    expect(status).toBe(401);
  });

  test("an API key where a token is needed says how to get one", async () => {
    const { status, body } = await server.call("POST", "/v1/messages", { key: server.key, body: {} });
    expect([status, body.detail]).toEqual([401, expect.stringContaining("POST /v1/users/{user}/token")]);
  });
});

describe("operators' calls", () => {
  test("POST /v1/users answers 201, and 200 when the user is there", async () => {
    const body = { user: "liam", displayName: "Liam" };
    const answers = [
      await server.call("POST", "/v1/users", { key: server.key, body }),
      await server.call("POST", "/v1/users", { key: server.key, body }),
    ];
    expect(answers.map((answer) => [answer.status, answer.body])).toEqual([
      [201, { user: "liam", created: true }],
      [200, { user: "liam", created: false }],
    ]);
  });

  test("POST /v1/users/{user}/token answers 201 with a token that works, with and without a body", async () => {
    await server.call("POST", "/v1/users", { key: server.key, body: { user: "mia" } });
    for (const body of [undefined, {}, { device: "kiosk" }]) {
      const answer = await server.call("POST", "/v1/users/mia/token", { key: server.key, body });
      expect(answer.status).toBe(201);
      expect((await server.call("GET", "/v1/conversations", { token: answer.body.token })).status).toBe(200);
    }
  });

  test("a token for nobody is 404 unknown_address", async () => {
    const { status, body } = await server.call("POST", "/v1/users/nobody/token", { key: server.key });
    expect([status, body.code]).toEqual([404, "unknown_address"]);
  });

  test("without a key, or with a wrong one, it is 401 unauthorized; a user's token is no key", async () => {
    const { token } = await server.user("noah");
    for (const credentials of [{}, { key: "pk_x" }, { key: "x".repeat(5000) }, { token }]) {
      const { status, body } = await server.call("POST", "/v1/users", { ...credentials, body: { user: "olga" } });
      expect([status, body.code]).toEqual([401, "unauthorized"]);
    }
  });

  test("a user made so cannot log in by password", async () => {
    await server.call("POST", "/v1/users", { key: server.key, body: { user: "pat" } });
    expect((await login({ user: "pat", password: PASSWORD })).body.code).toBe("bad_credentials");
  });
});
