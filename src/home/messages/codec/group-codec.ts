/** Questions to a group's shard and its answers, as bytes. */
import type { Group, GroupMember } from "../../../protocol/http-shapes.ts";
import type { GroupWish } from "../ask.ts";
import { fields, list, nothing, oneOf, optional, type Codec } from "./codec.ts";
import { number, text, userId, word } from "./values.ts";

const role = word("admin", "member");
const member = fields<GroupMember>({ user: text, role });

export const group: Codec<Group> = fields<Group>({
  id: text,
  name: text,
  createdAt: number,
  head: fields<Group["head"]>({ epoch: text, seq: number }),
  members: list(member) as Codec<GroupMember[]>,
  keepDays: optional(number) as Codec<number>,
});

/** For kinds without fields. */
const kindAlone: Codec<object> = { write: nothing.write as () => void, read: () => ({}) };

export const groupWish: Codec<GroupWish> = oneOf<GroupWish>({
  settings: [1, fields({ name: optional(text), keepDays: optional(number) })],
  dissolve: [2, kindAlone],
  putMember: [3, fields({ user: userId, role })],
  removeMember: [4, fields({ user: userId })],
  comeBack: [5, kindAlone],
});
