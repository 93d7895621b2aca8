import { credentials, login, registration } from "../schemas/accounts.ts";
import { call, reply, type Call } from "../call.ts";
import type { Accounts } from "../../../home/services.ts";

const tag = "Accounts";

export function accountCalls(accounts: Accounts): Call[] {
  return [
    call({
      method: "post",
      path: "/v1/register",
      id: "register",
      tag,
      summary: "Register a user",
      description: "Makes the user and logs the first device in.",
      auth: "none",
      body: registration,
      replies: { 201: { description: "Registered and logged in.", schema: credentials } },
      errors: ["user_taken", "forbidden", "unavailable"],
      handle: async ({ body, client }) => reply(201, await accounts.register({ ...body, client })),
    }),
    call({
      method: "post",
      path: "/v1/login",
      id: "login",
      tag,
      summary: "Log a device in",
      description:
        "A new login of a device ends the token it had. After 10 wrong passwords for a user within a minute, further " +
        "logins of that user are refused until the minute is over. A user may have 64 devices; the one that " +
        "logged in longest ago is logged out for the 65th.",
      auth: "none",
      body: login,
      replies: { 200: { description: "Logged in.", schema: credentials } },
      errors: ["bad_credentials", "rate_limited", "unavailable"],
      handle: async ({ body, client }) => reply(200, await accounts.login({ ...body, client })),
    }),
    call({
      method: "post",
      path: "/v1/logout",
      id: "logout",
      tag,
      summary: "Log this device out",
      description: "The token is dead everywhere; the device's sockets are closed with 4502.",
      auth: "user",
      replies: { 204: { description: "Logged out." } },
      errors: ["unavailable"],
      handle: async ({ who }) => {
        await accounts.logout(who);
        return reply(204);
      },
    }),
  ];
}
