import { z } from "@hono/zod-openapi";
import { groupAddress as addressOf } from "../../../domain/address.ts";
import type { Limits } from "../../../protocol/frames.ts";
import type { Groups } from "../../../home/services.ts";
import { call, reply, type Call } from "../call.ts";
import { group, groupPatch, newGroup, role } from "../schemas/groups.ts";
import { groupId, userId } from "../schemas/names.ts";

const tag = "Groups";
const path = "/v1/groups/{id}";
const memberPath = "/v1/groups/{id}/members/{user}";
const params = z.object({ id: groupId });
const memberParams = z.object({ id: groupId, user: userId });

export function groupCalls(groups: Groups, limits: Limits): Call[] {
  return [
    createCall(groups, limits),
    getCall(groups),
    changeCall(groups),
    dissolveCall(groups),
    putMemberCall(groups),
    removeMemberCall(groups),
  ];
}

function createCall(groups: Groups, limits: Limits): Call {
  return call({
    method: "post",
    path: "/v1/groups",
    id: "createGroup",
    tag,
    summary: "Create a group",
    description:
      "The creator is its admin. Without an `id` the server makes one. An `id` is taken while a group of that id has " +
      "members.",
    auth: "user",
    body: newGroup(limits.groupMembersMax),
    replies: { 201: { description: "Created.", schema: group } },
    errors: ["group_taken", "unknown_address", "quota_exceeded", "rate_limited", "unavailable"],
    handle: async ({ who, body }) => reply(201, await groups.create(who, body)),
  });
}

function getCall(groups: Groups): Call {
  return call({
    method: "get",
    path,
    id: "getGroup",
    tag,
    summary: "A group and its members",
    auth: "user",
    params,
    replies: { 200: { description: "The group.", schema: group } },
    errors: ["unknown_address", "not_a_member", "unavailable"],
    handle: async ({ who, params: { id } }) => reply(200, await groups.get(who, addressOf(id))),
  });
}

function changeCall(groups: Groups): Call {
  return call({
    method: "patch",
    path,
    id: "changeGroup",
    tag,
    summary: "Rename a group, or set how long its messages are kept",
    auth: "user",
    params,
    body: groupPatch,
    replies: { 200: { description: "The group, changed.", schema: group } },
    errors: ["unknown_address", "not_a_member", "forbidden", "rate_limited", "unavailable"],
    handle: async ({ who, params: { id }, body }) => reply(200, await groups.change(who, addressOf(id), body)),
  });
}

function dissolveCall(groups: Groups): Call {
  return call({
    method: "delete",
    path,
    id: "dissolveGroup",
    tag,
    summary: "Dissolve a group",
    auth: "user",
    params,
    replies: { 204: { description: "Dissolved." } },
    errors: ["unknown_address", "not_a_member", "forbidden", "unavailable"],
    handle: async ({ who, params: { id } }) => {
      await groups.dissolve(who, addressOf(id));
      return reply(204);
    },
  });
}

function putMemberCall(groups: Groups): Call {
  return call({
    method: "put",
    path: memberPath,
    id: "putGroupMember",
    tag,
    summary: "Add a member, or set a member's role",
    description: "Without a body, or without a `role`, the role becomes `member`, even of a user who was admin.",
    auth: "user",
    params: memberParams,
    body: z.object({ role: role.default("member").openapi({ default: "member" }) }).openapi("MemberPut"),
    isBodyOptional: true,
    replies: { 204: { description: "The user is a member with that role." } },
    errors: [
      "unknown_address",
      "not_a_member",
      "forbidden",
      "quota_exceeded",
      "too_large",
      "rate_limited",
      "unavailable",
    ],
    handle: async ({ who, params: { id, user }, body }) => {
      await groups.putMember(who, addressOf(id), user, body.role);
      return reply(204);
    },
  });
}

function removeMemberCall(groups: Groups): Call {
  return call({
    method: "delete",
    path: memberPath,
    id: "removeGroupMember",
    tag,
    summary: "Remove a member, or leave",
    description: "Admins remove anybody; everybody may remove themselves, which is leaving.",
    auth: "user",
    params: memberParams,
    replies: { 204: { description: "The user is not a member." } },
    errors: ["unknown_address", "not_found", "not_a_member", "forbidden", "unavailable"],
    handle: async ({ who, params: { id, user } }) => {
      await groups.removeMember(who, addressOf(id), user);
      return reply(204);
    },
  });
}
