/**
 * For operators whose users are managed elsewhere: an API key makes users without passwords, and tokens for any user.
 */
import { z } from "@hono/zod-openapi";
import type { Accounts } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { createdUser, credentials, newUser, tokenRequest } from "../schemas/accounts.ts";
import { userId } from "../schemas/names.ts";

const tag = "Operators";

export function operatorCalls(accounts: Accounts): Call[] {
  return [
    call({
      method: "post",
      path: "/v1/users",
      id: "createUser",
      tag,
      summary: "Create a user without a password",
      description: "Safe to repeat. A user who is there already is left as it is, display name included.",
      auth: "apiKey",
      body: newUser,
      replies: {
        200: { description: "The user was there.", schema: createdUser },
        201: { description: "Created.", schema: createdUser },
      },
      errors: ["unavailable"],
      handle: async ({ body }) => {
        const { created } = await accounts.createUser(body);
        const answer = { user: body.user, created };
        return created ? reply(201, answer) : reply(200, answer);
      },
    }),
    call({
      method: "post",
      path: "/v1/users/{user}/token",
      id: "createToken",
      tag,
      summary: "Get a token for a user",
      description:
        "Logs a device of the user in, as a login would: a device of that name gets a new token. " +
        "The body may be empty.",
      auth: "apiKey",
      params: z.object({ user: userId }),
      body: tokenRequest,
      isBodyOptional: true,
      replies: { 201: { description: "Logged in.", schema: credentials } },
      errors: ["unknown_address", "unavailable"],
      handle: async ({ params, body }) => reply(201, await accounts.createToken({ ...params, ...body })),
    }),
  ];
}
