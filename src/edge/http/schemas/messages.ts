/** A message as clients see it, and pages of them. */
import { z } from "@hono/zod-openapi";
import { address, ref, seq } from "./names.ts";

export const time = z
  .number()
  .int()
  .openapi({ type: "integer", description: "Unix milliseconds by the server's clock.", example: 1763740800000 });

/** Addresses and ids in answers: described, not checked again. */
export const wireAddress = z
  .string()
  .openapi({ description: "The other user or the group: `@user` or `#group`.", example: "@bob" });
export const wireUser = z.string().openapi({ description: "User id.", example: "alice" });

export const messageFields = {
  id: z
    .string()
    .max(40)
    .openapi({ description: "The server's id of the message, the same for everybody.", example: "AbCdEfGh12345678" }),
  conversation: wireAddress,
  from: wireUser,
  text: z.string().optional().openapi({ description: "Absent when the message was deleted." }),
  seq,
  sentAt: time,
  ref: z.string().optional().openapi({ description: "Only for the author's own devices." }),
  editedAt: time.optional(),
  deletedAt: time.optional(),
};

export const message = z.object(messageFields).openapi("Message");

export const sentMessage = z
  .object({
    ...messageFields,
    duplicate: z.literal(true).optional().openapi({ description: "The ref was sent before; this is that message." }),
  })
  .openapi("SentMessage");

export const historyPage = z
  .object({
    messages: z.array(message).openapi({ description: "Oldest first." }),
    before: seq.optional().openapi({ description: "Pages on to older messages; absent at the beginning." }),
    after: seq.optional().openapi({ description: "Pages on to newer messages; absent at the end." }),
  })
  .openapi("HistoryPage");

export function messageToSend(text: z.ZodType<string>) {
  return z.object({ to: address, text, ref }).openapi("NewMessage");
}
