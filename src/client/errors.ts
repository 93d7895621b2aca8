import { ERROR_CODES, type ErrorCode } from "../protocol/codes.ts";

/**
 * The only error the SDK rejects with. `status` is 0 when no HTTP answer stands behind it (a socket frame, a lost
 * network).
 */
export class ParleyError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;
  readonly status: number;
  /** How long to wait before trying again; absent where waiting does not help. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    detail: string,
    options: { status?: number; retryAfterMs?: number | undefined; cause?: unknown } = {},
  ) {
    super(`${code}: ${detail}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ParleyError";
    this.code = code;
    this.detail = detail;
    this.status = options.status ?? 0;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const KNOWN: ReadonlySet<string> = new Set(ERROR_CODES);

/** Parses a code from the wire. Unknown codes become `internal`. */
export function errorCodeOf(text: string): ErrorCode {
  return KNOWN.has(text) ? (text as ErrorCode) : "internal";
}

/** Temporary refusals: the same send will be accepted later. */
export function isTransient(code: string): boolean {
  return code === "rate_limited" || code === "unavailable" || code === "not_owner";
}
