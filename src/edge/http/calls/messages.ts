import { z } from "@hono/zod-openapi";
import { HISTORY_PAGE_MAX } from "../../../domain/limits.ts";
import type { Limits } from "../../../protocol/frames.ts";
import { AppError } from "../../../base/errors.ts";
import type { History, Messaging, Sync } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { entriesPage, syncReply, syncRequest } from "../schemas/frames.ts";
import { historyPage, messageToSend, sentMessage } from "../schemas/messages.ts";
import { address, groupAddress, messageText, queryNumber } from "../schemas/names.ts";

const tag = "Messages";
const SEQ_MAX = Number.MAX_SAFE_INTEGER;
const HISTORY_PAGE_DEFAULT = 30;
const pageLimit = (initial: number) =>
  queryNumber({ min: 1, max: HISTORY_PAGE_MAX, description: "Entries a page." })
    .default(initial)
    .openapi({ default: initial });

export type MessageServices = { messaging: Messaging; history: History; sync: Sync };

export function messageCalls(services: MessageServices, limits: Limits): Call[] {
  return [
    sendCall(services.messaging, limits),
    historyCall(services.history),
    entriesCall(services.history),
    syncCall(services.sync),
  ];
}

function sendCall(messaging: Messaging, limits: Limits): Call {
  return call({
    method: "post",
    path: "/v1/messages",
    id: "sendMessage",
    tag,
    summary: "Send a message",
    description:
      "Answers when the message is durable. Repeating a call with the same ref is safe: it answers 200 with the same " +
      "message.",
    auth: "user",
    body: messageToSend(messageText(limits.textBytesMax)),
    replies: {
      200: { description: "The ref was sent before: that message, with `duplicate`.", schema: sentMessage },
      201: { description: "Sent.", schema: sentMessage },
    },
    errors: ["unknown_address", "not_a_member", "ref_conflict", "quota_exceeded", "rate_limited", "unavailable"],
    handle: async ({ who, body }) => {
      // HTTP calls count as marked `retry` (G2): the caller cannot know whether an earlier call got through.
      const { message, duplicate } = await messaging.send(who, { ...body, retry: true });
      return duplicate ? reply(200, { ...message, duplicate: true as const }) : reply(201, message);
    },
  });
}

function historyCall(history: History): Call {
  return call({
    method: "get",
    path: "/v1/conversations/{address}/messages",
    id: "listMessages",
    tag,
    summary: "A page of a conversation's history",
    description: "The newest messages, or those before or after a seq; oldest first.",
    auth: "user",
    params: z.object({ address }),
    query: z.object({
      before: queryNumber({
        min: 1,
        max: SEQ_MAX,
        description: "Messages with a lower seq. Not together with `after`.",
      }).optional(),
      after: queryNumber({
        min: 0,
        max: SEQ_MAX,
        description: "Messages with a higher seq. Not together with `before`.",
      }).optional(),
      limit: pageLimit(HISTORY_PAGE_DEFAULT),
    }),
    replies: { 200: { description: "The page.", schema: historyPage } },
    errors: ["unknown_address", "not_a_member", "unavailable"],
    handle: async ({ who, params, query }) => {
      if (query.before !== undefined && query.after !== undefined) {
        throw new AppError("bad_request", "before, after: a page goes one way; give one of the two");
      }
      return reply(200, await history.page(who, params.address, query));
    },
  });
}

function entriesCall(history: History): Call {
  return call({
    method: "get",
    path: "/v1/entries",
    id: "listEntries",
    tag,
    summary: "Entries of my timeline, or of a group, as frames",
    description: "What a `gap` frame left out: the same frames, in order, from `after` on.",
    auth: "user",
    query: z.object({
      conversation: groupAddress.optional().openapi({ description: "The group; absent for my timeline." }),
      after: queryNumber({ min: 0, max: SEQ_MAX, description: "Entries with a higher seq." })
        .default(0)
        .openapi({ default: 0 }),
      limit: pageLimit(HISTORY_PAGE_MAX),
    }),
    replies: { 200: { description: "The page.", schema: entriesPage } },
    errors: ["unknown_address", "not_a_member", "unavailable"],
    handle: async ({ who, query }) => reply(200, await history.entries(who, query)),
  });
}

function syncCall(sync: Sync): Call {
  return call({
    method: "post",
    path: "/v1/sync",
    id: "sync",
    tag,
    summary: "Long poll",
    description:
      "The frames that a socket would have got after `cursor`: at once when there are any, else when one arrives, " +
      "else none after `waitMs`. " +
      "A reply counts as received only when the next call carries its cursor.",
    auth: "user",
    isWaiting: true,
    body: syncRequest,
    replies: { 200: { description: "Frames, and the cursor to call with next.", schema: syncReply } },
    errors: ["rate_limited", "unavailable"],
    handle: async ({ who, body, signal }) => reply(200, await sync.poll(who, body.cursor, body.waitMs, signal)),
  });
}
