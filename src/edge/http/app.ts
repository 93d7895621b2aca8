/**
 * The HTTP edge: every call of docs/protocol.md that this version serves, over the service ports. Keeps no state. Every
 * failure becomes a problem document, and no input reaches a service unvalidated.
 */
import { OpenAPIHono } from "@hono/zod-openapi";
import { AppError, ERROR_FACTS } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { randomName, systemRandom, type Random } from "../../base/random.ts";
import type { Limits } from "../../protocol/frames.ts";
import { refusalOf } from "../../home/refusal-of.ts";
import type { Services } from "../../home/services.ts";
import { AnswersUnderWay } from "./answers-under-way.ts";
import { BodiesUnderWay } from "./bodies-under-way.ts";
import { BODY_TIMEOUT_MS } from "./body.ts";
import { aboutOf, answer, type About, type Call } from "./call.ts";
import { accountCalls } from "./calls/accounts.ts";
import { conversationCalls } from "./calls/conversations.ts";
import { erasureCalls } from "./calls/erasures.ts";
import { groupCalls } from "./calls/groups.ts";
import { messageCalls } from "./calls/messages.ts";
import { operatorCalls } from "./calls/operators.ts";
import { serverCalls } from "./calls/server.ts";
import type { HttpEnv } from "./env.ts";
import { checkHost } from "./host.ts";
import { shown } from "./invalid.ts";
import { LaterAnswers } from "./later-answers.ts";
import { landingPage, protocolPage } from "./landing.ts";
import { openApiDocument, type App } from "./openapi.ts";
import { BASE_HEADERS, methodNotAllowed, problemResponse, upgradeRequired } from "./problem.ts";
import { checkPercentEncoding, pathOf } from "./query.ts";

export type HttpAppOptions = {
  services: Services;
  limits: Limits;
  /** Of the server, for the OpenAPI document and the landing page. */
  version: string;
  log: Logger;
  random?: Random;
  bodyTimeoutMs?: number;
};

export type HttpApp = { fetch(request: Request, env?: HttpEnv): Promise<Response> };

const REQUEST_ID_CHARACTERS = 12;
const PREFLIGHT_MAX_AGE_S = 7200;
const ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

export function createHttpApp({
  services,
  limits,
  version,
  log,
  random = systemRandom,
  bodyTimeoutMs = BODY_TIMEOUT_MS,
}: HttpAppOptions): HttpApp {
  const calls = callsOf(services, limits);
  const app = new OpenAPIHono<{ Bindings: HttpEnv }>({ getPath: (request) => pathOf(request.url) });
  const refuseAbout = (error: unknown, about: About) => refusal(error, about, log, random);
  const refuse = (error: unknown, request: Request, { clientIp }: HttpEnv) =>
    refuseAbout(error, aboutOf(request, clientIp));
  const later = new LaterAnswers();
  const allowed = register(
    app,
    calls,
    {
      services,
      bodyBounds: { bytesMax: limits.frameBytesMax, timeoutMs: bodyTimeoutMs },
      bodies: new BodiesUnderWay(),
      answers: new AnswersUnderWay(),
      later,
      refuse: refuseAbout,
    },
    version,
  );
  app.notFound((c) => refuse(notServed(c.req.raw), c.req.raw, c.env));
  app.onError((error, c) => refuse(error, c.req.raw, c.env));
  const answered = async (request: Request, env: HttpEnv): Promise<Response> => {
    try {
      checkHost(request);
      checkPercentEncoding(request.url);
      if (request.method === "OPTIONS") return optionsResponse(allowed(request));
      return await app.fetch(request, env);
    } catch (error) {
      return refuse(error, request, env);
    }
  };
  return {
    async fetch(request, env = {}) {
      const response = await answered(request, env);
      return later.of(response) ?? response;
    },
  };
}

function callsOf(services: Services, limits: Limits): Call[] {
  return [
    ...accountCalls(services.accounts),
    ...messageCalls(services, limits),
    ...conversationCalls(services.history),
    ...groupCalls(services.groups, limits),
    ...erasureCalls(services.erasures),
    ...operatorCalls(services.accounts),
    ...serverCalls(services.directory, services.health),
  ];
}

type Allowed = (request: Request) => readonly string[];

/** Routes each call, and refuses methods that its path does not have. @returns the methods of a request's path */
function register(
  app: App,
  calls: readonly Call[],
  surroundings: Parameters<typeof answer>[4],
  version: string,
): Allowed {
  const methods = new Map<string, string[]>();
  const serve = (
    method: string,
    template: string,
    respond: (
      request: Request,
      params: Record<string, string>,
      clientIp: string | undefined,
    ) => Response | Promise<Response>,
  ) => {
    const path = template.replaceAll(/\{(\w+)\}/g, ":$1");
    const added = method === "GET" ? ["GET", "HEAD"] : [method];
    methods.set(path, [...(methods.get(path) ?? []), ...added]);
    app.on(method, path, (c) => respond(c.req.raw, c.req.param() as Record<string, string>, c.env.clientIp));
  };
  for (const call of calls) {
    serve(call.method.toUpperCase(), call.path, (request, params, clientIp) =>
      answer(call, request, params, clientIp, surroundings),
    );
  }
  const document = JSON.stringify(openApiDocument(app, calls, version));
  serve(
    "GET",
    "/openapi.json",
    () => new Response(document, { headers: { ...BASE_HEADERS, "content-type": "application/json" } }),
  );
  serve("GET", "/", () => landingPage(version));
  serve("GET", "/protocol.md", () => protocolPage());
  // An upgrade does not get here: the listener handles it first.
  serve("GET", "/v1/ws", () => {
    throw upgradeRequired();
  });
  for (const [path, allow] of methods) {
    app.all(path, (c) => {
      throw methodNotAllowed(c.req.method, shown(c.req.path), [...allow, "OPTIONS"]);
    });
  }
  const patterns = [...methods].map(([path, allow]) => ({ pattern: patternOf(path), allow: [...allow, "OPTIONS"] }));
  return (request) => patterns.find(({ pattern }) => pattern.test(pathOf(request.url)))?.allow ?? ALL_METHODS;
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/:\w+/g, "[^/]+")}$`);
}

/** Also for paths that are not served: after a refused preflight, a browser would not show its page the 404. */
function optionsResponse(allow: readonly string[]): Response {
  const headers = {
    ...BASE_HEADERS,
    allow: allow.join(", "),
    "access-control-allow-methods": allow.join(", "),
    "access-control-allow-headers": "Authorization, Content-Type, X-Api-Key",
    "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
  };
  return new Response(null, { status: 204, headers });
}

function notServed(request: Request): AppError {
  const call = `${shown(request.method)} ${shown(pathOf(request.url))}`;
  return new AppError("not_found", `${call} is not served by this version; GET /openapi.json lists what is`);
}

/**
 * The one place where a refused request is logged. The client of an unexpected error gets a request id; only the log
 * has the error under that id.
 */
function refusal(error: unknown, about: About, log: Logger, random: Random): Response {
  const refused = refusalOf(error);
  if (refused !== undefined) {
    const { code, status, message: detail } = refused;
    log[ERROR_FACTS[code].logLevel]("request refused", { ...about, code, status, detail });
    return problemResponse(refused);
  }
  const requestId = randomName(random, REQUEST_ID_CHARACTERS);
  log.error("request failed", { ...about, requestId, error });
  const detail = `unexpected error; the server's log has the details of request ${requestId}`;
  return problemResponse(new AppError("internal", detail), { "x-request-id": requestId });
}
