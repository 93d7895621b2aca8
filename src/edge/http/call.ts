/**
 * One call of the HTTP API: its path, its credentials, the schemas of its input and output, and its handler. The same
 * object validates requests and documents the call, so the two cannot differ.
 */
import type { z } from "@hono/zod-openapi";
import { Later } from "../../base/later.ts";
import type { UserId } from "../../domain/address.ts";
import type { ErrorCode } from "../../protocol/codes.ts";
import type { Actor, Services } from "../../home/services.ts";
import type { AnswersUnderWay } from "./answers-under-way.ts";
import { apiKey, bearerToken } from "./authorization.ts";
import { fairnessKey } from "./client-address.ts";
import { readJsonBody, statedBytes, type BodyBounds } from "./body.ts";
import type { BodiesUnderWay } from "./bodies-under-way.ts";
import { refusalOf, shown } from "./invalid.ts";
import type { LaterAnswers } from "./later-answers.ts";
import { BASE_HEADERS } from "./problem.ts";
import { pathOf, queryOf } from "./query.ts";

/** The caller, by kind of credential. */
type Who = { none: undefined; user: Actor; apiKey: { keyId: string } };
export type Auth = keyof Who;

/** The output of a schema without `undefined`, which JSON does not have: an optional field is present or absent. */
export type Exact<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends (infer Item)[]
    ? Exact<Item>[]
    : { [Key in keyof T]: Exact<Exclude<T[Key], undefined>> };

export type Input<A extends Auth, P, Q, B> = {
  who: Who[A];
  params: P;
  query: Q;
  body: B;
  /** The client's address, reduced to what fairness between clients needs (client-address.ts). */
  client: string;
  /** Fires when the client has gone. */
  signal: AbortSignal;
};

export type ReplyDoc = { description: string; schema?: z.ZodType };

type ReplyOf<R> = {
  [Status in keyof R & number]: R[Status] extends { schema: infer S extends z.ZodType }
    ? { status: Status; body: z.input<S> | Later<z.input<S>> }
    : { status: Status };
}[keyof R & number];

type CallSpec<A extends Auth, P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType, R> = {
  method: "get" | "post" | "put" | "patch" | "delete";
  /** With `{parameters}`. */
  path: string;
  /** Unique: generated clients name their functions after it. */
  id: string;
  tag: string;
  summary: string;
  description?: string;
  auth: A;
  params?: P;
  query?: Q;
  body?: B;
  /** An empty body counts as `{}`. */
  isBodyOptional?: boolean;
  replies: R;
  /**
   * Whether the call waits for something to happen. Then connections bound it (SESSIONS_PER_USER_MAX), not calls under
   * way.
   */
  isWaiting?: boolean;
  /** In addition to those that follow from the rest: bad_request, unauthorized, too_large, unavailable, internal. */
  errors: ErrorCode[];
  handle: (
    input: Input<A, Exact<z.output<P>>, Exact<z.output<Q>>, Exact<z.output<B>>>,
  ) => Promise<ReplyOf<R>> | ReplyOf<R>;
};

export type Call = Omit<CallSpec<Auth, z.ZodType, z.ZodType, z.ZodType, Record<number, ReplyDoc>>, "handle"> & {
  handle: (input: Input<Auth, unknown, unknown, unknown>) => Promise<Reply> | Reply;
};
/** A body that comes later (`Later`) may be a refusal instead. */
export type Reply = { status: number; body?: unknown };

export function call<
  A extends Auth,
  const R extends Record<number, ReplyDoc>,
  P extends z.ZodType = z.ZodUndefined,
  Q extends z.ZodType = z.ZodUndefined,
  B extends z.ZodType = z.ZodUndefined,
>(spec: CallSpec<A, P, Q, B, R>): Call {
  // `answer` passes exactly what the spec's schemas put out.
  return spec as unknown as Call;
}

/**
 * An answer of a call. A function, so that the status keeps its literal type and is checked against the call's
 * `replies`.
 */
export function reply<const Status extends number>(status: Status): { status: Status };
export function reply<const Status extends number, const Body>(
  status: Status,
  body: Body,
): { status: Status; body: Body };
export function reply(status: number, body?: unknown): Reply {
  return { status, body };
}

export type Surroundings = {
  services: Services;
  bodyBounds: BodyBounds;
  bodies: BodiesUnderWay;
  answers: AnswersUnderWay;
  later: LaterAnswers;
  refuse: Refuse;
};

/** What the server's log says of a request. */
export type About = { method: string; path: string; clientIp?: string };
/** The answer to a request that failed. */
export type Refuse = (error: unknown, about: About) => Response;

export function aboutOf(request: Request, clientIp: string | undefined): About {
  const about = { method: request.method, path: shown(pathOf(request.url)) };
  return clientIp === undefined ? about : { ...about, clientIp };
}

/** Checks credentials first: a stranger learns nothing about valid requests, and a stranger's body is not read. */
export async function answer(
  call: Call,
  request: Request,
  params: Record<string, string>,
  clientIp: string | undefined,
  surroundings: Surroundings,
): Promise<Response> {
  const { answers, later } = surroundings;
  const who = await whoMakes(call.auth, request.headers, surroundings.services);
  const user = call.auth === "user" ? (who as Actor).user : undefined;
  const work = () => made(call, who, request, params, clientIp, surroundings);
  const { status, body } = await (user === undefined || call.isWaiting === true ? work() : answers.run(user, work));
  if (body instanceof Later)
    return later.placeHolder(answerWhenThere(body, status, user, aboutOf(request, clientIp), surroundings));
  if (body === undefined) return new Response(null, { status, headers: BASE_HEADERS });
  // The body of a HEAD would never be read, and would count as waiting for ever.
  return jsonResponse(status, request.method === "HEAD" ? null : answers.body(user, JSON.stringify(body)));
}

/** Holds nothing of the request meanwhile. */
function answerWhenThere(
  { promise }: Later<unknown>,
  status: number,
  user: UserId | undefined,
  about: About,
  { answers, refuse }: Surroundings,
): Promise<Response> {
  return promise.then(
    (body) => jsonResponse(status, answers.body(user, JSON.stringify(body))),
    (error: unknown) => refuse(error, about),
  );
}

const jsonResponse = (status: number, body: string | ReadableStream<Uint8Array> | null): Response =>
  new Response(body, { status, headers: { ...BASE_HEADERS, "content-type": "application/json" } });

async function made(
  call: Call,
  who: Who[Auth],
  request: Request,
  params: Record<string, string>,
  clientIp: string | undefined,
  surroundings: Surroundings,
): Promise<Reply> {
  const client = fairnessKey(clientIp);
  const input = {
    who,
    params: call.params && validated(call.params, params, "path"),
    query: call.query && validated(call.query, queryOf(request.url), "query"),
    body: call.body && validated(call.body, await bodyOf(call, request, client, surroundings), "body"),
    client,
    signal: request.signal,
  };
  // The body may have taken long: check again that the device has not been logged out.
  if (call.body) await whoMakes(call.auth, request.headers, surroundings.services);
  return call.handle(input);
}

async function whoMakes(auth: Auth, headers: Headers, services: Services): Promise<Who[Auth]> {
  switch (auth) {
    case "none":
      return undefined;
    case "user":
      return services.accounts.authenticate(bearerToken(headers));
    case "apiKey":
      return services.apiKeys.authenticate(apiKey(headers));
  }
}

async function bodyOf(
  call: Call,
  request: Request,
  client: string,
  { bodyBounds, bodies }: Surroundings,
): Promise<unknown> {
  const read = () => readJsonBody(request, bodyBounds);
  const body = await (call.auth === "none" ? bodies.read(client, statedBytes(request, bodyBounds), read) : read());
  return body === undefined && call.isBodyOptional ? {} : body;
}

function validated(schema: z.ZodType, input: unknown, whole: string): unknown {
  const result = schema.safeParse(input);
  if (!result.success) throw refusalOf(result.error.issues, input, whole);
  return result.data;
}
