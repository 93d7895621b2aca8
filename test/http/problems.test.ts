import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AppError, ERROR_FACTS } from "../../src/base/errors.ts";
import { ERROR_CODES } from "../../src/protocol/codes.ts";
import { startHttpServer, type HttpServer } from "./http-server.ts";

let server: HttpServer;
let token = "";
beforeAll(async () => {
  server = await startHttpServer();
  ({ token } = await server.user());
});
afterEach(() => {
  server.script.failure = undefined;
  server.script.notReady = undefined;
});
afterAll(() => server.stop());

/** Not held against the document: a scripted service says what a real one of that call would not. */
const fail = async (failure: Error) => {
  server.script.failure = failure;
  const response = await fetch(`${server.url}/v1/conversations`, { headers: { authorization: `Bearer ${token}` } });
  return {
    status: response.status,
    body: (await response.json()) as Record<string, unknown>,
    headers: response.headers,
  };
};

describe("a service's refusal", () => {
  test.each([...ERROR_CODES])("%s becomes a problem with its status and code", async (code) => {
    const { status, body, headers } = await fail(new AppError(code, "the reason"));
    const { status: expected, title, retryAfterMs } = ERROR_FACTS[code];
    expect(status).toBe(expected);
    expect(headers.get("content-type")).toBe("application/problem+json");
    const problem = { type: `urn:parley:error:${code}`, title, status, code, detail: "the reason" };
    expect(body).toEqual(retryAfterMs === undefined ? problem : { ...problem, retryAfterMs });
  });

  test("tells when to come back, in seconds rounded up", async () => {
    const { body, headers } = await fail(new AppError("rate_limited", "slower", { retryAfterMs: 1001 }));
    expect([body["retryAfterMs"], headers.get("retry-after")]).toEqual([1001, "2"]);
    expect((await fail(new AppError("forbidden", "no"))).headers.get("retry-after")).toBeNull();
  });
});

describe("what nobody foresaw", () => {
  test.each([
    ["an error", () => new Error("secret stack")],
    ["an error with a cause", () => new TypeError("x", { cause: "secret stack" })],
  ])("%s is 500 internal: the client gets an id, the log has the rest under it", async (_, failure) => {
    server.log.length = 0;
    const { status, body, headers } = await fail(failure());
    expect([status, body["code"]]).toEqual([500, "internal"]);
    const requestId = headers.get("x-request-id") ?? "none";
    expect(body["detail"]).toContain(requestId);
    expect(JSON.stringify(body)).not.toMatch(/secret|\.ts|at /);
    const line = server.log.map((text) => JSON.parse(text)).find((entry) => entry.requestId === requestId);
    expect(line).toMatchObject({ level: "error", method: "GET", path: "/v1/conversations", clientIp: "127.0.0.1" });
    expect(line.error).toContain("problems.test.ts");
  });

  test("leaves the server answering", async () => {
    await fail(new Error("once"));
    server.script.failure = undefined;
    expect((await server.call("GET", "/v1/conversations", { token })).status).toBe(200);
  });
});

describe("what is not served", () => {
  test.each([
    ["GET", "/v1/presence?user=bob"],
    ["GET", "/v1/search?q=x"],
    ["PATCH", "/v1/messages/m1"],
    ["DELETE", "/v1/messages/m1"],
    ["GET", "/v1/messages/m1/trace"],
    ["PUT", "/v1/blocks/bob"],
    ["GET", "/v1/me"],
    ["GET", "/v1/push/key"],
    ["GET", "/metrics"],
    ["GET", "/nowhere"],
    ["POST", "/v1/groups/"],
    ["GET", "/V1/conversations"],
  ])("%s %s is 404 not_found and says so", async (method, path) => {
    const { status, body } = await server.call(method, path, { token });
    expect([status, body.code]).toEqual([404, "not_found"]);
    expect(body.detail).toContain("is not served by this version");
  });

  test.each([
    ["GET", "/v1/register", "POST, OPTIONS"],
    ["DELETE", "/v1/conversations", "GET, HEAD, OPTIONS"],
    ["POST", "/v1/groups/ubuntu", "GET, HEAD, PATCH, DELETE, OPTIONS"],
    ["GET", "/v1/groups/ubuntu/members/bob", "PUT, DELETE, OPTIONS"],
    ["POST", "/healthz", "GET, HEAD, OPTIONS"],
    ["PUT", "/openapi.json", "GET, HEAD, OPTIONS"],
    ["HEAD", "/v1/messages", "POST, OPTIONS"],
  ])("%s %s is 405 with the methods that are", async (method, path, allow) => {
    const response = await fetch(server.url + path, { method, headers: { authorization: `Bearer ${token}` } });
    expect([response.status, response.headers.get("allow")]).toEqual([405, allow]);
    const text = await response.text();
    if (method !== "HEAD") expect(JSON.parse(text)).toMatchObject({ status: 405, code: "bad_request" });
  });

  test("GET /v1/ws without an upgrade is 426 and names the long poll", async () => {
    const { status, body, headers } = await server.call("GET", "/v1/ws");
    expect([status, body.code, headers.get("upgrade")]).toEqual([426, "bad_request", "websocket"]);
    expect(body.detail).toContain("/v1/sync");
  });
});

describe("content types", () => {
  const login = (contentType: string) =>
    server.call("POST", "/v1/login", {
      body: '{"user":"x","password":"yyyyyyyy"}',
      headers: { "content-type": contentType },
    });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin1",
    "application/jsonx",
    "multipart/form-data",
  ])("%s is 415 bad_request", async (contentType) => {
    const { status, body } = await login(contentType);
    expect([status, body.code]).toEqual([415, "bad_request"]);
    expect(body.detail).toContain("expected application/json");
  });

  test("who forgets the header with curl is told how to say it", async () => {
    expect((await login("application/x-www-form-urlencoded")).body.detail).toEndWith(
      "; curl: -H 'content-type: application/json'",
    );
    expect((await login("text/plain")).body.detail).not.toContain("curl");
  });

  test.each(["application/json", "application/json;charset=utf-8", 'Application/JSON; charset="UTF-8"'])(
    "%s is read",
    async (contentType) => {
      expect((await login(contentType)).status).toBe(401);
    },
  );
});

describe("every answer", () => {
  test("may be read by any page, is not sniffed, framed or kept", async () => {
    for (const path of ["/healthz", "/nowhere", "/v1/conversations", "/"]) {
      const { headers } = await server.call("GET", path);
      expect(headers.get("access-control-allow-origin")).toBe("*");
      expect(headers.get("access-control-allow-credentials")).toBeNull();
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("cache-control")).toBe("no-store");
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    }
  });

  test("to a preflight allows what the API needs, for paths that are not served too", async () => {
    const headers = { origin: "https://chat.example", "access-control-request-method": "PATCH" };
    const served = await fetch(`${server.url}/v1/groups/x`, { method: "OPTIONS", headers });
    expect([served.status, served.headers.get("access-control-allow-methods")]).toEqual([
      204,
      "GET, HEAD, PATCH, DELETE, OPTIONS",
    ]);
    expect(served.headers.get("access-control-allow-headers")).toBe("Authorization, Content-Type, X-Api-Key");
    expect((await fetch(`${server.url}/v1/presence`, { method: "OPTIONS", headers })).status).toBe(204);
  });
});

describe("the server about itself", () => {
  test("/healthz and /readyz say ok and ready; HEAD says it without words", async () => {
    expect((await server.call("GET", "/healthz")).body).toEqual({ status: "ok" });
    expect((await server.call("GET", "/readyz")).body).toEqual({ status: "ready" });
    const head = await fetch(`${server.url}/readyz`, { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("/readyz is 503 with the reason while the server takes no work; /healthz stays", async () => {
    server.script.notReady = "draining";
    const { status, body, headers } = await server.call("GET", "/readyz");
    expect([status, body.code, body.detail, headers.get("retry-after")]).toEqual([
      503,
      "unavailable",
      "not ready: draining",
      "1",
    ]);
    expect((await server.call("GET", "/healthz")).status).toBe(200);
  });

  test("/v1/route/{address} says where an address lives, to anybody", async () => {
    expect((await server.call("GET", "/v1/route/%23ubuntu")).body).toEqual({ shard: 7, node: "n1", url: "http://n1" });
    expect((await server.call("GET", "/v1/route/ubuntu")).body.code).toBe("bad_request");
  });

  test("/ is a page that says what this is and where to go", async () => {
    const { status, body, headers } = await server.call("GET", "/");
    expect([status, headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    for (const word of ["1.2.3", "/openapi.json", "/v1/ws", "/healthz"]) expect(body).toContain(word);
    for (const [, path] of String(body).matchAll(/href="([^"]+)"/g)) {
      expect([path, (await server.call("GET", path ?? "")).status]).toEqual([path, 200]);
    }
  });

  test("the style of the page is the one that its policy allows", async () => {
    const { body, headers } = await server.call("GET", "/");
    const style = /<style>([^]*)<\/style>/.exec(String(body))?.[1] ?? "";
    const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
    expect(headers.get("content-security-policy")).toContain(`default-src 'none'`);
    expect(headers.get("content-security-policy")).toContain(`style-src 'sha256-${hash}'`);
  });

  test("/protocol.md is the protocol document, as text that browsers show", async () => {
    const { status, body, headers } = await server.call("GET", "/protocol.md");
    expect([status, headers.get("content-type")]).toEqual([200, "text/plain; charset=utf-8"]);
    expect(body).toBe(await Bun.file(join(import.meta.dir, "../../docs/protocol.md")).text());
  });
});
