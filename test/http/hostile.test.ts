/** Requests that no client library makes: the edge answers each with a problem, and goes on serving others. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { startHttpServer, type HttpServer } from "./http-server.ts";
import { rawRequest } from "./raw.ts";

let server: HttpServer;
beforeAll(async () => {
  server = await startHttpServer({ limits: { frameBytesMax: 4096 }, bodyTimeoutMs: 500 });
});
afterEach(async () => {
  expect((await server.call("GET", "/healthz")).status).toBe(200);
});
afterAll(() => server.stop());

const HEAD = "POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
const chunk = (bytes: string) => `${bytes.length.toString(16)}\r\n${bytes}\r\n`;
const codeOf = (body: string): unknown => JSON.parse(body).code;
const loginBody = (bytes: number) => {
  const start = '{"user":"x","password":"yyyyyyyy","pad":"';
  return `${start}${"p".repeat(bytes - start.length - 2)}"}`;
};

test("a body of a stated size above the limit is 413 too_large before it is read", async () => {
  const { status, body } = await rawRequest(server.port, [`${HEAD}Content-Length: 5000\r\n\r\n{`]);
  expect([status, codeOf(body)]).toEqual([413, "too_large"]);
});

test.each([
  ["of a stated size", "Content-Length: 4000\r\n\r\n", "x"],
  ["in chunks", "Transfer-Encoding: chunked\r\n\r\n", chunk("x")],
])("a body %s that drips is closed after the usual timeout", async (_, rest, drip) => {
  const startedAt = performance.now();
  const closed = new Promise<string>((resolve) => {
    const socket = connect(server.port, "127.0.0.1", () => socket.write(`${HEAD}${rest}`));
    const dripping = setInterval(() => socket.write(drip), 20);
    let answer = "";
    socket.on("data", (data) => (answer += data.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearInterval(dripping);
      resolve(answer);
    });
  });
  const answer = await closed;
  // An answer to what was not read may be cut off by the close.
  if (answer !== "") expect(answer).toStartWith("HTTP/1.1 408");
  expect(performance.now() - startedAt).toBeGreaterThan(450);
});

test("a body that is no JSON is neither quoted back nor logged", async () => {
  const secret = "hunter2secret";
  const text = `{"user":"alice","password":${secret}}`;
  const { status, body } = await rawRequest(server.port, [`${HEAD}Content-Length: ${text.length}\r\n\r\n${text}`]);
  expect([status, codeOf(body)]).toEqual([400, "bad_request"]);
  expect(body + server.log.join()).not.toContain("hunter2");
});

test("a chunked body is taken up to the limit and refused one byte beyond, while it is read", async () => {
  const chunks = (body: string) => (body.match(/.{1,1000}/gs) ?? []).map(chunk);
  const send = (body: string) =>
    rawRequest(server.port, [`${HEAD}Transfer-Encoding: chunked\r\n\r\n`, ...chunks(body), "0\r\n\r\n"]);
  expect((await send(loginBody(4096))).status).toBe(401);
  const { status, body } = await send(loginBody(4097));
  expect([status, codeOf(body)]).toEqual([413, "too_large"]);
});

test("a chunked body without end is refused, and the connection closed, long before it would fill memory", async () => {
  const offered = await new Promise<number>((resolve) => {
    const socket = connect(server.port, "127.0.0.1");
    const piece = chunk("x".repeat(65_536));
    let sent = 0;
    const write = () => {
      while (sent < 500_000_000 && !socket.destroyed) {
        sent += piece.length;
        if (!socket.write(piece)) return void socket.once("drain", write);
      }
    };
    socket.on("error", () => undefined);
    socket.on("close", () => resolve(sent));
    socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    write();
  });
  expect(offered).toBeLessThan(100_000_000);
});

test("a body that is not UTF-8 is 400 bad_request", async () => {
  for (const bytes of [
    [0xff, 0xfe],
    [0xc3, 0x28],
    [0xed, 0xa0, 0x80],
    [0xc0, 0x80],
  ]) {
    const body = Buffer.concat([Buffer.from('{"user":"'), Buffer.from(bytes), Buffer.from('"}')]);
    const answer = await rawRequest(server.port, [`${HEAD}Content-Length: ${body.length}\r\n\r\n`, body]);
    expect([answer.status, JSON.parse(answer.body).detail]).toEqual([400, "body: not valid UTF-8"]);
  }
});

test.each(["{", "nul", "{'a':1}", '{"a":NaN}', '{"a":1}}', "[".repeat(4000), '"\\u12"', "\u0000"])(
  "a body that is not JSON, %j, is 400 bad_request",
  async (body) => {
    const answer = await rawRequest(server.port, [`${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`]);
    expect([answer.status, JSON.parse(answer.body).detail]).toEqual([400, expect.stringMatching(/^body: not JSON/)]);
  },
);

test("no body where one is needed is 400 bad_request", async () => {
  const answer = await rawRequest(server.port, [`${HEAD}Content-Length: 0\r\n\r\n`]);
  expect([answer.status, JSON.parse(answer.body).detail]).toEqual([400, "body: missing, expected an object"]);
});

test("a client that goes away in the middle of its body harms nobody and is no error in the log", async () => {
  server.log.length = 0;
  await new Promise<void>((resolve) => {
    const socket = connect(server.port, "127.0.0.1", () => {
      socket.write(`${HEAD}Content-Length: 100\r\n\r\n{"user":`, () => socket.destroy());
    });
    socket.on("close", () => resolve());
  });
  expect((await server.call("GET", "/healthz")).status).toBe(200);
  expect(server.log.filter((line) => line.includes('"level":"error"'))).toEqual([]);
});

test("broken chunk framing is answered with 400 and closed", async () => {
  expect((await rawRequest(server.port, [`${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`])).status).toBe(400);
});

test("HTTP/1.0 without a host is served, with a query too", async () => {
  expect((await rawRequest(server.port, ["GET /healthz?x=1 HTTP/1.0\r\n\r\n"])).status).toBe(200);
  expect((await rawRequest(server.port, ["GET /nowhere HTTP/1.0\r\n\r\n"])).status).toBe(404);
});

test("strange request lines get a problem, not a crash", async () => {
  const lines = [
    "GET //evil.example/x HTTP/1.1",
    "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
    "GET /?a=%C3 HTTP/1.1",
    "GET /a?b?c=#d HTTP/1.1",
  ];
  for (const line of lines) {
    const { status, head } = await rawRequest(server.port, [`${line}\r\nHost: a b c\r\nConnection: close\r\n\r\n`]);
    expect([400, 404]).toContain(status);
    expect(head).not.toContain("text/html");
  }
});

test("two Authorization headers are 401 unauthorized", async () => {
  const lines =
    "GET /v1/conversations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n";
  const { status, body } = await rawRequest(server.port, [lines]);
  expect([status, codeOf(body)]).toEqual([401, "unauthorized"]);
});

test.each([
  ["two hosts", ["Host: a", "Host: b"]],
  ["the same host twice", ["Host: a", "Host: a"]],
  ["an empty second host", ["Host: a", "Host: "]],
  ["two hosts in one", ["Host: a, b"]],
])("%s are 400 bad_request, and the connection ends", async (_, hosts) => {
  const { status, head, body } = await rawRequest(server.port, [
    ["GET /healthz HTTP/1.1", ...hosts, "", ""].join("\r\n"),
  ]);
  expect([status, codeOf(body)]).toEqual([400, "bad_request"]);
  expect(head.toLowerCase()).toContain("connection: close");
});
