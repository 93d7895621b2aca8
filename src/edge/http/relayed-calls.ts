/**
 * HTTP at a node of a cluster: a call of a user who lives at another node is carried there, and its answer back. Who
 * acts is in the token, in the path (`/v1/users/NAME/…`), or in the body (`user`) of calls that make users or tokens.
 * All other calls are answered here.
 *
 * The home answers as if the call had come to it, so it checks everything: credentials, fields, limits.
 */
import { AppError } from "../../base/errors.ts";
import { NAME_PATTERN, type UserId } from "../../domain/address.ts";
import type { CallRelay, RelayedAnswer, RelayedCall } from "../relay.ts";
import { AnswersUnderWay } from "./answers-under-way.ts";
import { BodiesUnderWay } from "./bodies-under-way.ts";
import { readBodyBytes, statedBytes, type BodyBounds } from "./body.ts";
import type { HttpApp } from "./app.ts";
import { fairnessKey } from "./client-address.ts";
import type { HttpEnv } from "./env.ts";
import { problemResponse } from "./problem.ts";
import { pathOf } from "./query.ts";

const BEARER = /^Bearer /i;
const USER_PATH = /^\/v1\/users\/([^/]+)(?:\/|$)/;
const PATH_NAME_CHARACTERS_MAX = 96;
/** Calls whose body names the user. */
const NAMED_IN_BODY = new Set(["/v1/register", "/v1/login", "/v1/users"]);
/** What a home needs of a request's headers. */
const HEADERS = ["authorization", "x-api-key", "content-type", "host"];
/** Headers of an answer that belong to one connection. */
const OWN_HEADERS = new Set(["content-length", "connection", "transfer-encoding", "date", "keep-alive"]);

export type RelayedCallsParts = {
  readonly app: HttpApp;
  readonly relay: CallRelay;
  /** The user of a token by its signature alone; undefined if it is none of this cluster's. */
  signedFor(token: string): UserId | undefined;
  readonly bodyBounds: BodyBounds;
};

export class RelayedCalls implements HttpApp {
  readonly #parts: RelayedCallsParts;
  readonly #bodies = new BodiesUnderWay();
  readonly #answers = new AnswersUnderWay();

  constructor(parts: RelayedCallsParts) {
    this.#parts = parts;
  }

  async fetch(request: Request, env: HttpEnv = {}): Promise<Response> {
    const { app, relay } = this.#parts;
    try {
      const path = pathOf(request.url);
      if (request.method === "POST" && NAMED_IN_BODY.has(path)) return await this.#namedInBody(request, env);
      const user = this.#userOf(request.headers, path);
      if (user === undefined || relay.isHere(user)) return await app.fetch(request, env);
      return await this.#relay(user, request, await this.#body(request, env), env);
    } catch (error) {
      if (error instanceof AppError) return problemResponse(error);
      throw error;
    }
  }

  #userOf(headers: Headers, path: string): UserId | undefined {
    const authorization = headers.get("authorization");
    if (authorization !== null && BEARER.test(authorization))
      return this.#parts.signedFor(authorization.replace(BEARER, ""));
    return nameIn(USER_PATH.exec(path)?.[1]);
  }

  async #namedInBody(request: Request, env: HttpEnv): Promise<Response> {
    const { app, relay } = this.#parts;
    const body = await this.#body(request, env);
    const user = userInBody(body);
    if (user !== undefined && !relay.isHere(user)) return this.#relay(user, request, body, env);
    const { method, url, headers, signal } = request;
    // Its body has been read.
    return app.fetch(new Request(url, { method, headers, signal, body: new Uint8Array(body) }), env);
  }

  #body(request: Request, { clientIp }: HttpEnv): Promise<Uint8Array> {
    const { bodyBounds } = this.#parts;
    const read = (): Promise<Uint8Array> => readBodyBytes(request, bodyBounds);
    return this.#bodies.read(fairnessKey(clientIp), statedBytes(request, bodyBounds), read);
  }

  async #relay(user: UserId, request: Request, body: Uint8Array, { clientIp }: HttpEnv): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const call: RelayedCall = {
      method: request.method,
      path: pathname + search,
      headers: HEADERS.flatMap((name) => {
        const value = request.headers.get(name);
        return value === null ? [] : [[name, value] as const];
      }),
      clientIp,
      body,
    };
    const answer = await this.#parts.relay.call(user, call, request.signal);
    // The body of a HEAD would never be read.
    const shown = request.method === "HEAD" ? null : this.#answers.bodyOf(user, answer.body);
    return new Response(answer.body.length === 0 ? null : shown, {
      status: answer.status,
      headers: answer.headers.map(([name, value]) => [name, value]),
    });
  }
}

/** Answers a call that came over the relay, at the home of its user. */
export async function answerRelayed(app: HttpApp, call: RelayedCall, signal: AbortSignal): Promise<RelayedAnswer> {
  const { method, path, clientIp } = call;
  const headers = new Headers(call.headers.map(([name, value]) => [name, value] as [string, string]));
  const hasBody = method !== "GET" && method !== "HEAD";
  if (hasBody) headers.set("content-length", String(call.body.length));
  const request = new Request(`http://home${path}`, {
    method,
    headers,
    signal,
    ...(hasBody && call.body.length > 0 ? { body: new Uint8Array(call.body) } : {}),
  });
  const answer = await app.fetch(request, clientIp === undefined ? {} : { clientIp });
  return {
    status: answer.status,
    headers: [...answer.headers].filter(([name]) => !OWN_HEADERS.has(name)),
    body: Buffer.from(await answer.arrayBuffer()),
  };
}

function userInBody(body: Uint8Array): UserId | undefined {
  try {
    const { user } = JSON.parse(Buffer.from(body).toString()) as { user?: unknown };
    return typeof user === "string" && NAME_PATTERN.test(user) ? (user as UserId) : undefined;
  } catch {
    return undefined;
  }
}

/** @param text as in the path: it may be percent-encoded */
function nameIn(text: string | undefined): UserId | undefined {
  if (text === undefined || text.length > PATH_NAME_CHARACTERS_MAX) return undefined;
  try {
    const name = decodeURIComponent(text);
    return NAME_PATTERN.test(name) ? (name as UserId) : undefined;
  } catch {
    return undefined;
  }
}
