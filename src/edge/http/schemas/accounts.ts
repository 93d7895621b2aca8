import { z } from "@hono/zod-openapi";
import { ERROR_CODES } from "../../../protocol/codes.ts";
import { deviceId, displayName, newPassword, password, userId } from "./names.ts";

export const registration = z
  .object({ user: userId, password: newPassword, displayName: displayName.optional(), device: deviceId.optional() })
  .openapi("Registration");

export const login = z.object({ user: userId, password, device: deviceId.optional() }).openapi("Login");

export const credentials = z
  .object({
    user: z.string().openapi({ example: "alice" }),
    device: z.string().openapi({ example: "phone", description: "As given, or a fresh name." }),
    token: z
      .string()
      .openapi({ description: "For `Authorization: Bearer`; lives until logout or the next login of this device." }),
  })
  .openapi("Credentials");

export const newUser = z.object({ user: userId, displayName: displayName.optional() }).openapi("NewUser");
export const createdUser = z.object({ user: z.string(), created: z.boolean() }).openapi("CreatedUser");
export const tokenRequest = z.object({ device: deviceId.optional() }).openapi("TokenRequest");

export const problem = z
  .object({
    type: z.string().openapi({ example: "urn:parley:error:not_found" }),
    title: z.string(),
    status: z.number().int(),
    code: z.enum(ERROR_CODES).openapi({ description: "One closed list for HTTP and WebSocket." }),
    detail: z.string().openapi({ description: "For people: the thing, the number, the limit, what to do." }),
    retryAfterMs: z
      .number()
      .optional()
      .openapi({ description: "Where waiting helps; `Retry-After` says the same in seconds." }),
  })
  .openapi("Problem", { description: "RFC 9457." });
