/** The closed lists of protocol version 1: error codes and close codes. */

export const ERROR_CODES = [
  "bad_request",
  "unauthorized",
  "bad_credentials",
  "forbidden",
  "not_found",
  "unknown_address",
  "user_taken",
  "group_taken",
  "ref_conflict",
  "blocked",
  "not_a_member",
  "too_large",
  "rate_limited",
  "quota_exceeded",
  "unavailable",
  "not_owner",
  "internal",
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** Codes 4000 to 4499: reconnect. 4500 to 4999: do not. */
export const CLOSE = {
  goingAway: 4000,
  tooSlow: 4001,
  moved: 4002,
  tryLater: 4003,
  badToken: 4500,
  protocolError: 4501,
  loggedOut: 4502,
  tooManyRefused: 4503,
} as const;

export type CloseCode = (typeof CLOSE)[keyof typeof CLOSE];

/**
 * Whether a client that was closed with this code should reconnect. Codes below 4000 come from the network: reconnect.
 */
export function mayReconnect(code: number): boolean {
  return code < 4500;
}
