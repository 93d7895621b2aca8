/** Schemas of names, texts and numbers, of which the others are made. Each says in words what it expects. */
import { z } from "@hono/zod-openapi";
import { AppError } from "../../../base/errors.ts";
import {
  NAME_PATTERN,
  type Address,
  type DeviceId,
  type GroupAddress,
  type GroupId,
  type UserId,
} from "../../../domain/address.ts";
import {
  DISPLAY_NAME_CHARACTERS_MAX,
  PASSWORD_BYTES_MAX,
  PASSWORD_CHARACTERS_MIN,
  REF_PATTERN,
} from "../../../domain/limits.ts";
import { checkText } from "../../../domain/text.ts";
import { shown } from "../invalid.ts";

const NAME_SOURCE = NAME_PATTERN.source.slice(1, -1);
const NAME_RULE = "1 to 32 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit";
const EPOCH_CHARACTERS_MAX = 64;
const LONE_SURROGATE = "has a lone surrogate, which is no character";

function matching(pattern: RegExp, rule: string) {
  return z.string().regex(pattern, { error: (issue) => `${shown(JSON.stringify(issue.input))} is not ${rule}` });
}

export const userId = matching(NAME_PATTERN, NAME_RULE)
  .transform((text) => text as UserId)
  .openapi({ type: "string", pattern: NAME_PATTERN.source, description: "User id.", example: "alice" });

export const groupId = matching(NAME_PATTERN, NAME_RULE)
  .transform((text) => text as GroupId)
  .openapi({ type: "string", pattern: NAME_PATTERN.source, description: "Group id, without `#`.", example: "ubuntu" });

export const deviceId = matching(NAME_PATTERN, NAME_RULE)
  .transform((text) => text as DeviceId)
  .openapi({
    type: "string",
    pattern: NAME_PATTERN.source,
    description: "Name of a device, the user's own choice.",
    example: "phone",
  });

export const address = matching(new RegExp(`^[@#]${NAME_SOURCE}$`), `@user or #group, each ${NAME_RULE}`)
  .transform((text) => text as Address)
  .openapi({
    type: "string",
    pattern: `^[@#]${NAME_SOURCE}$`,
    description: "`@user` or `#group`; URL-encoded in paths and queries (`%40bob`, `%23ubuntu`).",
    example: "@bob",
  });

const GROUP_ADDRESS = new RegExp(`^#${NAME_SOURCE}$`);

export const groupAddressText = matching(GROUP_ADDRESS, `#group: ${NAME_RULE}`);

export const groupAddress = groupAddressText
  .transform((text) => text as GroupAddress)
  .openapi({ type: "string", pattern: GROUP_ADDRESS.source, description: "`#group`.", example: "#ubuntu" });

export const ref = matching(REF_PATTERN, "1 to 64 printable ASCII characters").openapi({
  description: "The client's own id of the message, unique per user for ever: the idempotency key.",
  example: "phone-17",
});

/** A text as sockets accept it too: one check, one wording. */
export function messageText(bytesMax: number) {
  return z
    .string()
    .superRefine((text, context) => {
      try {
        checkText(text, bytesMax);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        // The issue's path names the field already.
        context.addIssue({
          code: "custom",
          message: error.message.replace(/^text: /, ""),
          params: { code: error.code },
        });
      }
    })
    .openapi({
      minLength: 1,
      description: `Well-formed Unicode, at most ${bytesMax} bytes of UTF-8.`,
      example: "hello",
    });
}

function faultOfDisplayName(text: string): string | undefined {
  if (text === "") return "must not be empty";
  if (!text.isWellFormed()) return LONE_SURROGATE;
  return /\p{Cc}/u.test(text) ? "has control characters" : undefined;
}

export const displayName = z
  .string()
  .superRefine((text, context) => {
    const fault = faultOfDisplayName(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
    const characters = [...text].length;
    if (characters <= DISPLAY_NAME_CHARACTERS_MAX) return;
    context.addIssue({ code: "custom", message: `${characters} characters, at most ${DISPLAY_NAME_CHARACTERS_MAX}` });
  })
  .openapi({
    minLength: 1,
    maxLength: DISPLAY_NAME_CHARACTERS_MAX,
    pattern: String.raw`^[^\u0000-\u001f\u007f-\u009f]+$`,
    description: "Free text without control characters.",
    example: "Alice",
  });

/**
 * A password to be verified: only its length is bounded. One that is too short for any user is wrong, not malformed.
 */
export const password = z
  .string()
  .superRefine((text, context) => {
    const bytes = Buffer.byteLength(text);
    const tooLong = bytes > PASSWORD_BYTES_MAX ? `${bytes} bytes of UTF-8, at most ${PASSWORD_BYTES_MAX}` : undefined;
    const fault = tooLong ?? (text.isWellFormed() ? undefined : LONE_SURROGATE);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .openapi({
    format: "password",
    description: `At most ${PASSWORD_BYTES_MAX} bytes of UTF-8.`,
    example: "correct horse",
  });

export const newPassword = password
  .superRefine((text, context) => {
    const characters = [...text].length;
    if (characters >= PASSWORD_CHARACTERS_MIN) return;
    context.addIssue({ code: "custom", message: `${characters} characters, at least ${PASSWORD_CHARACTERS_MIN}` });
  })
  .openapi({
    format: "password",
    minLength: PASSWORD_CHARACTERS_MIN,
    description: `At least ${PASSWORD_CHARACTERS_MIN} characters, at most ${PASSWORD_BYTES_MAX} bytes of UTF-8.`,
    example: "correct horse",
  });

/** A position in a log, or a count; 0: nothing yet. */
export const seq = z
  .number()
  .int()
  .min(0)
  .openapi({ type: "integer", minimum: 0, description: "Position in a log; 0 is before the first." });

export const epoch = z
  .string()
  .max(EPOCH_CHARACTERS_MAX, { error: `more than ${EPOCH_CHARACTERS_MAX} characters` })
  .openapi({ description: "Identity of a log's history.", example: "k3v9x2ab" });

/** A whole number in a query. */
export function queryNumber({ min, max, description }: { min: number; max: number; description: string }) {
  return z
    .string()
    .transform((text, context) => {
      const fault = faultOfNumber(text, min, max);
      if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
      return Number(text);
    })
    .openapi({
      type: "integer",
      minimum: min,
      ...(max < Number.MAX_SAFE_INTEGER ? { maximum: max } : {}),
      description,
    });
}

function faultOfNumber(text: string, min: number, max: number): string | undefined {
  if (!/^-?[0-9]{1,16}$/.test(text)) return `expected a whole number, got ${shown(JSON.stringify(text))}`;
  if (Number(text) < min) return `${text} is below the minimum ${min}`;
  if (Number(text) > max) return `${text} is above the maximum ${max}`;
  return undefined;
}
