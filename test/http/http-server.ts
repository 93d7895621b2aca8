/**
 * The HTTP edge on a real socket. Every answer that comes through `call` is held against the OpenAPI document that the server itself
 * gives out: its status must be documented for that call, and its body must have the documented shape, no more and no less.
 */
import { expect } from "bun:test";
import { createLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { clientAddress } from "../../src/edge/http/client-address.ts";
import { createHttpApp } from "../../src/edge/http/app.ts";
import type { Limits } from "../../src/protocol/frames.ts";
import { AccountService, type AccountServiceParts } from "../../src/home/accounts/accounts.ts";
import { newApiKey } from "../../src/home/accounts/api-keys.ts";
import { KnownClients } from "../../src/home/accounts/known-clients.ts";
import { DEFAULT_LOGIN_THROTTLE, LoginThrottle } from "../../src/home/accounts/login-throttle.ts";
import { Passwords } from "../../src/home/accounts/passwords.ts";
import { Tokens } from "../../src/home/accounts/tokens.ts";
import type { ApiKeys } from "../../src/home/services.ts";
import { AppError } from "../../src/base/errors.ts";
import { CellsInMemory } from "../home/cells-in-memory.ts";
import { HandClock } from "../home/hand-clock.ts";
import { faultsOf, type Document, type Operation } from "./json-schema.ts";
import { scriptedServices } from "./scripted-services.ts";

export const PASSWORD = "correct horse";

type CallOptions = { token?: string; key?: string; body?: unknown; headers?: Record<string, string> };
// oxlint-disable-next-line typescript/no-explicit-any -- what came over the wire; each test says what it expects of it.
export type Answer = { status: number; body: any; headers: Headers };

export type HttpServerOptions = {
  limits?: Partial<Limits>;
  accounts?: Partial<AccountServiceParts>;
  bodyTimeoutMs?: number;
};

export async function startHttpServer({ limits, accounts: parts, bodyTimeoutMs }: HttpServerOptions = {}) {
  const clock = new HandClock();
  const cells = new CellsInMemory();
  const accounts = new AccountService({
    cells,
    clock,
    random: systemRandom,
    passwords: await Passwords.open({ memoryKiB: 64, passes: 1, concurrency: 2, queueMax: 100 }, systemRandom),
    tokens: await Tokens.open(new Uint8Array(32).fill(7), clock),
    throttle: new LoginThrottle(DEFAULT_LOGIN_THROTTLE, clock),
    clients: new KnownClients(new Uint8Array(16)),
    ...parts,
  });
  const { key } = newApiKey("test", clock, systemRandom);
  const { services, script } = scriptedServices(accounts, onlyKey(key));
  const log: string[] = [];
  const app = createHttpApp({
    services,
    limits: { ...DEFAULT_LIMITS, ...limits },
    version: "1.2.3",
    log: createLogger("debug", (line) => log.push(line), Date.now),
    ...(bodyTimeoutMs === undefined ? {} : { bodyTimeoutMs }),
  });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    development: false,
    fetch: (request, server) =>
      app.fetch(request, { clientIp: clientAddress(server.requestIP(request)?.address, request.headers) ?? "" }),
  });
  const url = `http://127.0.0.1:${server.port}`;
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as Document;
  return {
    url,
    port: server.port ?? 0,
    document,
    cells,
    clock,
    script,
    log,
    key,
    call: (method: string, path: string, options: CallOptions = {}) =>
      callAndCheck(url, document, method, path, options),
    /** A registered user with a token. */
    async user(name = "alice") {
      return accounts.register({ user: name as never, password: PASSWORD });
    },
    stop: () => server.stop(true),
  };
}

export type HttpServer = Awaited<ReturnType<typeof startHttpServer>>;

function onlyKey(known: string): ApiKeys {
  return {
    async authenticate(key) {
      if (key !== known) throw new AppError("unauthorized", "the API key is unknown or revoked");
      return { keyId: "test" };
    },
  };
}

async function callAndCheck(
  url: string,
  document: Document,
  method: string,
  path: string,
  options: CallOptions,
): Promise<Answer> {
  const response = await fetch(url + path, { method, ...requestOf(options) });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  const body: unknown = isJson ? JSON.parse(text) : text;
  checkDocumented(document, method, path, response, body);
  return { status: response.status, body, headers: response.headers };
}

function requestOf({ token, key, body, headers }: CallOptions): RequestInit {
  const sent = new Headers(headers);
  if (token !== undefined) sent.set("authorization", `Bearer ${token}`);
  if (key !== undefined) sent.set("x-api-key", key);
  if (body === undefined) return { headers: sent };
  if (!sent.has("content-type")) sent.set("content-type", "application/json");
  return { headers: sent, body: typeof body === "string" ? body : JSON.stringify(body) };
}

function checkDocumented(document: Document, method: string, path: string, response: Response, body: unknown): void {
  const operation = operationOf(document, method, path);
  if (operation === undefined) return;
  const documented = operation.responses[response.status];
  expect(documented, `${method} ${path} answered ${response.status}, which is not documented`).toBeDefined();
  const contentType = response.headers.get("content-type");
  expect(contentType === null ? [] : [contentType]).toEqual(Object.keys(documented?.content ?? {}));
  const schema = documented?.content?.[contentType ?? ""]?.schema;
  if (schema === undefined) expect(body).toBe("");
  else expect(faultsOf(body, schema, document)).toEqual([]);
}

function operationOf(document: Document, method: string, path: string): Operation | undefined {
  const [bare = ""] = path.split("?");
  const entry = Object.entries(document.paths).find(([template]) =>
    new RegExp(`^${template.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(bare),
  );
  return entry?.[1][method.toLowerCase()];
}
