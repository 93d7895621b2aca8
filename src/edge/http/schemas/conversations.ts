import { z } from "@hono/zod-openapi";
import { message, wireAddress } from "./messages.ts";
import { seq } from "./names.ts";

export const conversation = z
  .object({
    conversation: wireAddress,
    name: z.string().openapi({ description: "Display name of the other user, or name of the group." }),
    unread: z.number().int().min(0).openapi({ description: "Messages of others after `ownReadThrough`." }),
    lastSeq: seq,
    readThrough: seq.openapi({
      description: "How far the other user has read, in my numbering. In a group: the farthest other member.",
    }),
    deliveredThrough: seq.openapi({
      description: "How far the other user's devices have what I sent, in my numbering.",
    }),
    ownReadThrough: seq.openapi({ description: "How far I have read." }),
    messages: z.array(message).openapi({ description: "The newest messages, oldest first." }),
  })
  .openapi("Conversation");

export const conversationsPage = z
  .object({
    conversations: z.array(conversation).openapi({ description: "Newest first." }),
    before: z.string().optional().openapi({ description: "Pages on to older conversations; absent at the end." }),
  })
  .openapi("ConversationsPage");
