import { z } from "@hono/zod-openapi";
import { KEEP_DAYS_MAX } from "../../../domain/limits.ts";
import { time, wireUser } from "./messages.ts";
import { displayName, epoch, groupId, seq, userId } from "./names.ts";

export const role = z
  .enum(["admin", "member"])
  .openapi({ description: "Admins rename, dissolve, and change members and roles." });

export const streamPosition = z.object({ epoch, seq }).openapi("StreamPosition");

export const group = z
  .object({
    id: z.string().openapi({ description: "Group id; its address is `#id`.", example: "ubuntu" }),
    name: z.string().openapi({ example: "Ubuntu" }),
    createdAt: time,
    head: streamPosition.openapi({ description: "The newest entry of the group's log." }),
    members: z.array(z.object({ user: wireUser, role }).openapi("GroupMember")),
    keepDays: z
      .number()
      .int()
      .optional()
      .openapi({ description: "Days that messages are kept; absent: as the server has it." }),
  })
  .openapi("Group");

/** Absent fields stay unchanged. */
export const groupPatch = z
  .object({
    name: displayName.optional(),
    keepDays: z
      .number()
      .int()
      .min(1)
      .max(KEEP_DAYS_MAX)
      .nullable()
      .optional()
      .openapi({
        type: ["integer", "null"],
        minimum: 1,
        maximum: KEEP_DAYS_MAX,
        description: "Days that messages are kept; null: as the server has it. The shorter of the two holds.",
      }),
  })
  .superRefine(({ name, keepDays }, context) => {
    if (name !== undefined || keepDays !== undefined) return;
    context.addIssue({ code: "custom", path: ["name"], message: "missing; a change has a name, keepDays, or both" });
  })
  .openapi("GroupPatch");

export function newGroup(membersMax: number) {
  const members = z
    .array(userId)
    .superRefine((users, context) => {
      if (users.length <= membersMax) return;
      context.addIssue({
        code: "custom",
        message: `${users.length} users, at most ${membersMax}`,
        params: { code: "too_large" },
      });
    })
    .openapi({
      maxItems: membersMax,
      description: "Users to begin with; the creator is a member, and admin, without being named.",
    });
  return z.object({ id: groupId.optional(), name: displayName, members }).openapi("NewGroup");
}
