/** Errors as RFC 9457 problems, and the headers that every answer carries. */
import { AppError, ERROR_FACTS } from "../../base/errors.ts";
import type { ErrorCode } from "../../protocol/codes.ts";
import type { Problem } from "../../protocol/http-shapes.ts";

/**
 * Any web page may call the API. It is protected by bearer tokens, never by cookies, so a foreign page has nothing to
 * borrow. Answers are JSON and personal: not to be sniffed, framed or cached.
 */
export const BASE_HEADERS: Readonly<Record<string, string>> = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "Allow, Retry-After, WWW-Authenticate, X-Request-Id",
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "cross-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A refusal with an HTTP status of its own; its code stays one of the closed list. */
export class HttpError extends AppError {
  readonly httpStatus: number;
  readonly title: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    httpStatus: number,
    title: string,
    code: ErrorCode,
    detail: string,
    headers: Record<string, string> = {},
  ) {
    super(code, detail);
    this.httpStatus = httpStatus;
    this.title = title;
    this.headers = headers;
  }

  override get status(): number {
    return this.httpStatus;
  }
}

export function methodNotAllowed(method: string, path: string, allowed: readonly string[]): HttpError {
  const allow = allowed.join(", ");
  const detail = `${method} ${path}: this path answers to ${allow}`;
  return new HttpError(405, "Method not allowed", "bad_request", detail, { allow });
}

const FORM = "application/x-www-form-urlencoded";

export function wrongContentType(given: string | null): HttpError {
  const got = given === null ? "none" : given.slice(0, 100);
  // The content type that curl sends by default.
  const hint = given?.startsWith(FORM) === true ? "; curl: -H 'content-type: application/json'" : "";
  const detail = `content-type: expected application/json in UTF-8, got ${got}${hint}`;
  return new HttpError(415, "Unsupported media type", "bad_request", detail, { accept: "application/json" });
}

export function upgradeRequired(): HttpError {
  const detail =
    "this path is a WebSocket: connect with ws:// or wss://, or use POST /v1/sync where a socket cannot be had";
  return new HttpError(426, "Upgrade required", "bad_request", detail, { upgrade: "websocket", connection: "Upgrade" });
}

export function problemOf(error: AppError): Problem {
  const { code, status, message: detail, retryAfterMs } = error;
  const title = error instanceof HttpError ? error.title : ERROR_FACTS[code].title;
  const problem: Problem = { type: `urn:parley:error:${code}`, title, status, code, detail };
  return retryAfterMs === undefined ? problem : { ...problem, retryAfterMs };
}

export function problemResponse(error: AppError, extraHeaders: Record<string, string> = {}): Response {
  const problem = problemOf(error);
  const headers: Record<string, string> = {
    ...BASE_HEADERS,
    "content-type": "application/problem+json",
    ...extraHeaders,
  };
  if (error instanceof HttpError) Object.assign(headers, error.headers);
  if (problem.retryAfterMs !== undefined) headers["retry-after"] = String(Math.ceil(problem.retryAfterMs / 1000));
  if (problem.status === 401) headers["www-authenticate"] = challengeOf(problem.code);
  return new Response(JSON.stringify(problem), { status: problem.status, headers });
}

function challengeOf(code: ErrorCode): string {
  return code === "unauthorized" ? 'Bearer realm="parley", error="invalid_token"' : 'Bearer realm="parley"';
}
