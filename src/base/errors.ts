/**
 * Operating errors: refusals that the caller can act on. One table gives each code its HTTP status, whether waiting
 * helps, and the log level. A programmer's error is an `assert`; an environment error is a `FatalError` (src/cli).
 */
import type { ErrorCode } from "../protocol/codes.ts";

type CodeFacts = {
  status: number;
  title: string;
  retryAfterMs?: number;
  logLevel: "debug" | "info" | "warn" | "error";
};

export const ERROR_FACTS: Record<ErrorCode, CodeFacts> = {
  bad_request: { status: 400, title: "Bad request", logLevel: "debug" },
  unauthorized: { status: 401, title: "Unauthorized", logLevel: "debug" },
  bad_credentials: { status: 401, title: "Bad credentials", logLevel: "debug" },
  forbidden: { status: 403, title: "Forbidden", logLevel: "debug" },
  not_found: { status: 404, title: "Not found", logLevel: "debug" },
  unknown_address: { status: 404, title: "Unknown address", logLevel: "debug" },
  user_taken: { status: 409, title: "User taken", logLevel: "debug" },
  group_taken: { status: 409, title: "Group taken", logLevel: "debug" },
  ref_conflict: { status: 409, title: "Ref conflict", logLevel: "info" },
  blocked: { status: 403, title: "Blocked", logLevel: "debug" },
  not_a_member: { status: 403, title: "Not a member", logLevel: "debug" },
  too_large: { status: 413, title: "Too large", logLevel: "debug" },
  rate_limited: { status: 429, title: "Rate limited", retryAfterMs: 1000, logLevel: "debug" },
  quota_exceeded: { status: 429, title: "Quota exceeded", retryAfterMs: 60_000, logLevel: "debug" },
  unavailable: { status: 503, title: "Unavailable", retryAfterMs: 1000, logLevel: "debug" },
  not_owner: { status: 421, title: "Not the owner", retryAfterMs: 100, logLevel: "info" },
  internal: { status: 500, title: "Internal error", logLevel: "error" },
};

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;

  /** `detail` is lower case and names the thing, the number, the limit, and what to do. */
  constructor(code: ErrorCode, detail: string, options: { retryAfterMs?: number; cause?: unknown } = {}) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs ?? ERROR_FACTS[code].retryAfterMs;
  }

  get status(): number {
    return ERROR_FACTS[this.code].status;
  }
}
