/** Describes what is wrong with an input: the path of the field, what was expected, what came. */
import type { z } from "@hono/zod-openapi";
import { AppError } from "../../base/errors.ts";
import type { ErrorCode } from "../../protocol/codes.ts";

type Issue = z.core.$ZodIssue;

const EXPECTED: Record<string, string> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "an object",
  record: "an object",
};

const SHOWN_CHARACTERS_MAX = 64;

/** `whole` names the input itself, for issues with no field. */
export function refusalOf(issues: readonly Issue[], input: unknown, whole: string): AppError {
  const [issue] = issues;
  if (issue === undefined) return new AppError("bad_request", `${whole}: not valid`);
  const name = issue.path.length === 0 ? whole : issue.path.map((key) => shown(String(key))).join(".");
  return new AppError(codeOf(issue), `${name}: ${reasonOf(issue, valueAt(input, issue.path))}`);
}

/** A schema names another code than bad_request with `params: { code }`. */
function codeOf(issue: Issue): ErrorCode {
  const params = issue.code === "custom" ? (issue.params as { code?: ErrorCode } | undefined) : undefined;
  return params?.code ?? "bad_request";
}

function reasonOf(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case "invalid_type":
      return mismatch(EXPECTED[issue.expected] ?? issue.expected, kindOf(value));
    case "invalid_value":
      return mismatch(issue.values.map((allowed) => JSON.stringify(allowed)).join(" or "), described(value));
    case "too_small":
      if (typeof value !== "number") return issue.message;
      return `${described(value)} is below the minimum ${issue.minimum}`;
    case "too_big":
      if (typeof value !== "number") return issue.message;
      return `${described(value)} is above the maximum ${issue.maximum}`;
    case "invalid_key":
      return issue.issues[0]?.message ?? issue.message;
    default:
      return issue.message;
  }
}

function mismatch(expected: string, got: string | undefined): string {
  return got === undefined ? `missing, expected ${expected}` : `expected ${expected}, got ${got}`;
}

/** Only the kind, not the value: it may be a password that was sent as a number. */
function kindOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return { object: "an object", number: "a number", boolean: "a boolean", string: "a string" }[typeof value as string];
}

function described(value: unknown): string | undefined {
  return typeof value === "string" || typeof value === "number" ? shown(JSON.stringify(value)) : kindOf(value);
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

export function shown(text: string): string {
  return text.length <= SHOWN_CHARACTERS_MAX ? text : `${text.slice(0, SHOWN_CHARACTERS_MAX)}…`;
}
