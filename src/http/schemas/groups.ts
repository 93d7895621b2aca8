import { z } from "@hono/zod-openapi";
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
  })
  .openapi("Group");

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
