/** Reads the two credentials a request can carry. */
import { AppError } from "../../base/errors.ts";

const BEARER_PATTERN = /^Bearer ([A-Za-z0-9._~+/-]+=*)$/i;
const CREDENTIAL_CHARACTERS_MAX = 2048;

/** The token of `Authorization: Bearer <token>`. Two such headers arrive joined by a comma and are refused. */
export function bearerToken(headers: Headers): string {
  const value = headers.get("authorization");
  if (value === null) throw new AppError("unauthorized", missingDetail(headers));
  const token = value.length > CREDENTIAL_CHARACTERS_MAX ? undefined : BEARER_PATTERN.exec(value)?.[1];
  if (token === undefined) throw new AppError("unauthorized", "authorization: expected 'Bearer <token>', once");
  return token;
}

export function apiKey(headers: Headers): string {
  const value = headers.get("x-api-key");
  if (value === null) throw new AppError("unauthorized", "x-api-key: missing; `parley keys create` makes a key");
  if (value.length > CREDENTIAL_CHARACTERS_MAX) throw new AppError("unauthorized", "x-api-key: not a key");
  return value;
}

function missingDetail(headers: Headers): string {
  if (!headers.has("x-api-key")) return "authorization: missing; expected 'Bearer <token>'";
  const hint = "get the user's token with POST /v1/users/{user}/token";
  return `authorization: missing; an API key cannot make this call: ${hint}`;
}
