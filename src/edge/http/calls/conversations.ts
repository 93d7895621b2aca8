import { z } from "@hono/zod-openapi";
import { AppError } from "../../../base/errors.ts";
import { HISTORY_PAGE_MAX } from "../../../domain/limits.ts";
import type { History } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { conversation, conversationsPage } from "../schemas/conversations.ts";
import { address, queryNumber } from "../schemas/names.ts";

const tag = "Conversations";
const CONVERSATIONS_DEFAULT = 5;
const MESSAGES_DEFAULT = 15;
/** The most messages in one answer: the largest list of conversations with the usual number of messages each. */
const MESSAGES_IN_ALL_MAX = HISTORY_PAGE_MAX * MESSAGES_DEFAULT;
const PAGE_CURSOR_CHARACTERS_MAX = 128;

const messagesWanted = queryNumber({ min: 0, max: HISTORY_PAGE_MAX, description: "Newest messages of each." })
  .default(MESSAGES_DEFAULT)
  .openapi({ default: MESSAGES_DEFAULT });

export function conversationCalls(history: History): Call[] {
  return [listCall(history), getCall(history)];
}

function listCall(history: History): Call {
  return call({
    method: "get",
    path: "/v1/conversations",
    id: "listConversations",
    tag,
    summary: "My conversations, newest first",
    description: `\`limit\` times \`messages\` is at most ${MESSAGES_IN_ALL_MAX}.`,
    auth: "user",
    query: z.object({
      limit: queryNumber({ min: 1, max: HISTORY_PAGE_MAX, description: "Conversations a page." })
        .default(CONVERSATIONS_DEFAULT)
        .openapi({ default: CONVERSATIONS_DEFAULT }),
      messages: messagesWanted,
      before: z
        .string()
        .max(PAGE_CURSOR_CHARACTERS_MAX, { error: "not a value that a page gave as `before`" })
        .optional()
        .openapi({ description: "What the last page gave as `before`." }),
    }),
    replies: { 200: { description: "The page.", schema: conversationsPage } },
    errors: ["unavailable"],
    handle: async ({ who, query }) => {
      const inAll = query.limit * query.messages;
      if (inAll > MESSAGES_IN_ALL_MAX) {
        throw new AppError("bad_request", `limit, messages: ${inAll} messages in all, at most ${MESSAGES_IN_ALL_MAX}`);
      }
      return reply(200, await history.conversations(who, query));
    },
  });
}

function getCall(history: History): Call {
  return call({
    method: "get",
    path: "/v1/conversations/{address}",
    id: "getConversation",
    tag,
    summary: "One of my conversations",
    auth: "user",
    params: z.object({ address }),
    query: z.object({ messages: messagesWanted }),
    replies: { 200: { description: "The conversation.", schema: conversation } },
    errors: ["unknown_address", "not_a_member", "not_found", "unavailable"],
    handle: async ({ who, params, query }) =>
      reply(200, await history.conversation(who, params.address, query.messages)),
  });
}
