/** The OpenAPI 3.1 document, made from the calls: it has the same schemas that validate requests. */
import type { OpenAPIHono, RouteConfig } from "@hono/zod-openapi";
import { ERROR_FACTS } from "../../base/errors.ts";
import type { ErrorCode } from "../../protocol/codes.ts";
import type { HttpEnv } from "./env.ts";
import type { Auth, Call, ReplyDoc } from "./call.ts";
import { problem } from "./schemas/accounts.ts";

export type App = OpenAPIHono<{ Bindings: HttpEnv }>;
type Registry = App["openAPIRegistry"];

const SECURITY: Record<Auth, Record<string, string[]>[]> = {
  none: [],
  user: [{ token: [] }],
  apiKey: [{ apiKey: [] }],
};

const TAGS = [
  { name: "Accounts", description: "Users and their devices." },
  {
    name: "Messages",
    description: "Sending, history, and long poll. The WebSocket at `/v1/ws` does the same with less.",
  },
  { name: "Conversations", description: "What an application shows first." },
  { name: "Groups", description: "Groups and their members." },
  { name: "Operators", description: "For systems that have users of their own." },
  { name: "Server", description: "Where things live, and whether the server is well." },
];

export function openApiDocument(app: App, calls: readonly Call[], version: string): object {
  const registry = app.openAPIRegistry;
  registry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
    description: "The token of a device, from register, login or `POST /v1/users/{user}/token`.",
  });
  registry.registerComponent("securitySchemes", "apiKey", {
    type: "apiKey",
    in: "header",
    name: "X-Api-Key",
    description: "An operator's key, from `parley keys create`.",
  });
  for (const call of calls) register(registry, call);
  const info = {
    title: "Parley",
    version,
    description: "A self-hosted messenger server: HTTP API, protocol version 1.",
    license: { name: "MIT", identifier: "MIT" },
  };
  return app.getOpenAPI31Document({ openapi: "3.1.0", info, servers: [{ url: "/" }], tags: TAGS });
}

function register(registry: Registry, call: Call): void {
  const body = call.body && { required: !call.isBodyOptional, content: { "application/json": { schema: call.body } } };
  registry.registerPath({
    method: call.method,
    path: call.path,
    operationId: call.id,
    tags: [call.tag],
    summary: call.summary,
    ...(call.description === undefined ? {} : { description: call.description }),
    security: SECURITY[call.auth],
    request: {
      ...(call.params && { params: call.params }),
      ...(call.query && { query: call.query }),
      ...(body && { body }),
    } as NonNullable<RouteConfig["request"]>,
    responses: { ...repliesOf(call.replies), ...problemsOf(call) },
  });
}

function repliesOf(replies: Record<number, ReplyDoc>): RouteConfig["responses"] {
  const entries = Object.entries(replies).map(([status, { description, schema }]) => [
    status,
    schema === undefined ? { description } : { description, content: { "application/json": { schema } } },
  ]);
  return Object.fromEntries(entries);
}

/** One response a status; its description names the codes that come with it. */
function problemsOf(call: Call): RouteConfig["responses"] {
  const byStatus = new Map<number, string[]>();
  const add = (status: number, code: ErrorCode) => {
    const codes = byStatus.get(status) ?? [];
    if (!codes.includes(code)) byStatus.set(status, [...codes, code]);
  };
  for (const code of codesOf(call)) add(ERROR_FACTS[code].status, code);
  if (call.body !== undefined) {
    add(408, "bad_request");
    add(415, "bad_request");
  }
  return Object.fromEntries(
    [...byStatus].sort(([a], [b]) => a - b).map(([status, codes]) => [status, problemDoc(status, codes)]),
  );
}

const BODY_PROBLEMS: Record<number, string> = {
  408: "`bad_request`: the body took too long to arrive.",
  415: "`bad_request`: another Content-Type than JSON in UTF-8.",
};

function problemDoc(status: number, codes: string[]) {
  const waits = codes.some((code) => ERROR_FACTS[code as ErrorCode].retryAfterMs !== undefined);
  return {
    description: BODY_PROBLEMS[status] ?? codes.map((code) => `\`${code}\``).join(", "),
    content: { "application/problem+json": { schema: problem } },
    ...(waits && { headers: { "Retry-After": { schema: { type: "integer" as const }, description: "Seconds." } } }),
  };
}

function codesOf(call: Call): ErrorCode[] {
  const takesInput = call.params !== undefined || call.query !== undefined || call.body !== undefined;
  return [
    ...(takesInput ? (["bad_request"] as const) : []),
    ...(call.auth === "none" ? [] : (["unauthorized"] as const)),
    ...(call.body === undefined ? [] : (["too_large"] as const)),
    ...(call.auth === "user" ? (["rate_limited", "unavailable"] as const) : []),
    ...call.errors,
    "internal",
  ];
}
