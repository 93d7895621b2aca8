/**
 * The frames that HTTP answers carry (`POST /v1/sync`, `GET /v1/entries`), for the OpenAPI document. Types:
 * src/protocol/frames.ts.
 */
import { z } from "@hono/zod-openapi";
import { SYNC_WAIT_MS_MAX } from "../../../domain/limits.ts";
import type { Cursor } from "../../../protocol/frames.ts";
import { role, streamPosition } from "./groups.ts";
import { messageFields, time, wireAddress, wireUser } from "./messages.ts";
import { epoch, groupAddressText, seq } from "./names.ts";

const inGroup = wireAddress.optional().openapi({ description: "The group; absent for the timeline." });

const messageFrame = z.object({ t: z.literal("message"), ...messageFields }).openapi("MessageFrame");

const receiptFrame = z
  .object({
    t: z.literal("receipt"),
    kind: z.enum(["delivered", "read"]),
    conversation: wireAddress,
    by: wireUser,
    seq: seq.openapi({ description: "Everything you sent there up to this, in your numbering." }),
    mark: seq
      .optional()
      .openapi({ description: "Position in your receipts counter, see `Cursor.marks`; absent for groups." }),
  })
  .openapi("ReceiptFrame");

const membershipFrame = z
  .object({
    t: z.literal("membership"),
    seq,
    conversation: wireAddress,
    change: z.enum(["joined", "left"]),
    groupSeq: seq.openapi({ description: "Where in the group's log it happened." }),
    epoch,
  })
  .openapi("MembershipFrame");

const groupFrame = z
  .object({
    t: z.literal("group"),
    conversation: wireAddress,
    seq,
    change: z.enum(["created", "joined", "left", "renamed", "role", "retention", "dissolved"]),
    epoch: epoch.optional().openapi({ description: "created: the epoch of the group." }),
    by: wireUser,
    at: time,
    user: wireUser.optional().openapi({ description: "joined, left, role: whom it concerns." }),
    name: z.string().optional().openapi({ description: "created, renamed." }),
    role: role.optional(),
    members: z.array(wireUser).optional().openapi({ description: "created: all first members." }),
    keepDays: z
      .number()
      .int()
      .nullable()
      .optional()
      .openapi({ description: "retention: days that messages are kept; null: as the server has it." }),
  })
  .openapi("GroupFrame");

const resetFrame = z
  .object({ t: z.literal("reset"), conversation: inGroup })
  .openapi("ResetFrame", { description: "The epoch differs: drop what you have of it and load history." });

const gapFrame = z
  .object({ t: z.literal("gap"), conversation: inGroup, from: seq, to: seq })
  .openapi("GapFrame", { description: "Too much was missed to stream; page it with `GET /v1/entries`." });

const sentFrame = z
  .object({
    t: z.literal("sent"),
    ref: z.string(),
    id: z.string(),
    conversation: wireAddress,
    seq,
    sentAt: time,
    duplicate: z.literal(true).optional(),
    deletedAt: time.optional(),
  })
  .openapi("SentFrame");

const errorFrame = z
  .object({
    t: z.literal("error"),
    ref: z.string().optional(),
    code: z.string(),
    detail: z.string(),
    retryAfterMs: z.number().optional(),
  })
  .openapi("ErrorFrame");

const byeFrame = z
  .object({
    t: z.literal("bye"),
    code: z.number().int(),
    reason: z.string(),
    url: z.string().optional(),
    afterMs: z.number().optional(),
  })
  .openapi("ByeFrame");

const liveFrame = z.object({ t: z.literal("live") }).openapi("LiveFrame");
const pongFrame = z.object({ t: z.literal("pong") }).openapi("PongFrame");

const welcomeFrame = z
  .object({
    t: z.literal("welcome"),
    user: wireUser,
    device: z.string(),
    node: z.string(),
    epoch,
    timeline: seq,
    groups: z.record(z.string(), streamPosition),
    marks: seq,
    heartbeatMs: z.number(),
    limits: z.record(z.string(), z.number()),
  })
  .openapi("WelcomeFrame");

export const serverFrame = z
  .discriminatedUnion("t", [
    messageFrame,
    receiptFrame,
    membershipFrame,
    groupFrame,
    resetFrame,
    gapFrame,
    sentFrame,
    errorFrame,
    byeFrame,
    liveFrame,
    pongFrame,
    welcomeFrame,
  ])
  .openapi("ServerFrame");

export const entriesPage = z
  .object({
    frames: z.array(serverFrame).openapi({ description: "In order of their seqs." }),
    after: seq.openapi({ description: "Pages on." }),
    more: z.boolean().openapi({ description: "Whether there are entries after this page." }),
  })
  .openapi("EntriesPage");

export const cursor = z
  .object({
    epoch,
    timeline: seq.openapi({
      description: "0 is valid under every epoch, the empty one included: a device that has nothing yet.",
    }),
    groups: z
      .record(groupAddressText, streamPosition)
      .default({})
      .openapi({
        type: "object",
        additionalProperties: { $ref: "#/components/schemas/StreamPosition" },
        description: "What the device has of each group, by `#group`.",
      }),
    marks: seq.optional().openapi({ description: "Receipts seen; without it no missed receipts are replayed." }),
  })
  .transform((given) => given as Cursor)
  .openapi("Cursor", {
    example: { epoch: "k3v9x2ab", timeline: 42, groups: { "#ubuntu": { epoch: "p2m4c7dd", seq: 17 } }, marks: 9 },
  });

export const syncRequest = z
  .object({
    cursor,
    waitMs: z.number().int().min(0).max(SYNC_WAIT_MS_MAX).default(0).openapi({
      type: "integer",
      minimum: 0,
      maximum: SYNC_WAIT_MS_MAX,
      description: "How long to wait for the first frame.",
    }),
  })
  .openapi("SyncRequest");

export const syncReply = z
  .object({
    frames: z.array(serverFrame),
    cursor,
    more: z.boolean().openapi({ description: "Another call would answer at once." }),
  })
  .openapi("SyncReply");
