import { z } from "@hono/zod-openapi";
import { message, wireAddress } from "./messages.ts";
import { seq } from "./names.ts";

export const conversation = z
  .object({
    conversation: wireAddress,
    name: z.string().openapi({ description: "Display name of the other side." }),
    unread: z.number().int().min(0).openapi({ description: "Messages of others after `ownReadThrough`." }),
    lastSeq: seq,
    readThrough: seq.openapi({
      description: "How far the other side has read, in my numbering. In a group: how far anybody else has.",
    }),
    deliveredThrough: seq.openapi({
      description: "How far the other side's devices have what I sent, in my numbering.",
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
