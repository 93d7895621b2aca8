import { z } from "@hono/zod-openapi";
import { AppError } from "../../../base/errors.ts";
import type { Erasures } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { erasure, erasureRequest } from "../schemas/erasures.ts";
import { userId } from "../schemas/names.ts";

const WHAT =
  "Everything in the user's timeline, and what the user wrote in the timelines of others and in groups, as of now. " +
  "The account stays, and so do memberships. Repeating it while it is under way changes nothing; " +
  "GET on the same path says how far it is.";

export function erasureCalls(erasures: Erasures): Call[] {
  return [...ownCalls(erasures), ...operatorCalls(erasures)];
}

function ownCalls(erasures: Erasures): Call[] {
  const path = "/v1/me/erasure";
  const tag = "Accounts";
  return [
    call({
      method: "post",
      path,
      id: "eraseMyContent",
      tag,
      summary: "Erase all my messages, for good",
      description: `${WHAT} It can be asked for again ten minutes after it was done.`,
      auth: "user",
      body: erasureRequest,
      replies: { 202: { description: "Noted durably; it goes on whatever happens.", schema: erasure } },
      errors: ["forbidden", "rate_limited", "unavailable"],
      handle: async ({ who, body }) => {
        if (body.user !== who.user) throw new AppError("forbidden", `user: you are ${who.user}, not ${body.user}`);
        return reply(202, await erasures.request(who.user, "user"));
      },
    }),
    call({
      method: "get",
      path,
      id: "getMyErasure",
      tag,
      summary: "What became of my last request to erase",
      auth: "user",
      replies: { 200: { description: "Its state.", schema: erasure } },
      errors: ["unavailable"],
      handle: async ({ who }) => reply(200, await erasures.status(who.user)),
    }),
  ];
}

function operatorCalls(erasures: Erasures): Call[] {
  const path = "/v1/users/{user}/erasure";
  const tag = "Operators";
  const params = z.object({ user: userId });
  return [
    call({
      method: "post",
      path,
      id: "eraseUserContent",
      tag,
      summary: "Erase all messages of a user, for good",
      description: `${WHAT} The body is empty.`,
      auth: "apiKey",
      params,
      replies: { 202: { description: "Noted durably; it goes on whatever happens.", schema: erasure } },
      errors: ["unknown_address", "unavailable"],
      handle: async ({ params: { user } }) => reply(202, await erasures.request(user, "operator")),
    }),
    call({
      method: "get",
      path,
      id: "getUserErasure",
      tag,
      summary: "What became of the last request to erase a user's messages",
      auth: "apiKey",
      params,
      replies: { 200: { description: "Its state.", schema: erasure } },
      errors: ["unknown_address", "unavailable"],
      handle: async ({ params: { user } }) => reply(200, await erasures.status(user)),
    }),
  ];
}
