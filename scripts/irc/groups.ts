/** One group a day, made by the day's first speaker. A group of an earlier, interrupted run is completed. */
import { createGroup, getGroup, putGroupMember } from "../../src/client/http.ts";
import { isCode } from "./accounts.ts";
import { forEachBounded } from "./bounded.ts";
import type { Calls } from "./calls.ts";
import type { PlannedGroup } from "./plan.ts";

const AT_ONCE_MAX = 8;
/** With this many ids of 32 characters a body stays well below its 64 KiB. */
const FIRST_MEMBERS_MAX = 500;

export async function openGroups(
  calls: Calls,
  groups: PlannedGroup[],
  tokens: Map<string, string>,
  onGroup: () => void,
): Promise<void> {
  await forEachBounded(groups, AT_ONCE_MAX, async (group) => {
    const creator = group.members[0] ?? "";
    await openGroup(calls, group, tokens.get(creator) ?? "");
    onGroup();
  });
}

async function openGroup(calls: Calls, group: PlannedGroup, token: string): Promise<void> {
  const first = group.members.slice(0, FIRST_MEMBERS_MAX);
  const found = await calls.call({ token }, async (server) => {
    try {
      return await createGroup(server, { id: group.id, name: group.name, members: first });
    } catch (error) {
      if (isCode(error, "group_taken")) return getGroup(server, group.id);
      throw error;
    }
  });
  const present = new Set(found.members.map((member) => member.user));
  const missing = group.members.filter((member) => !present.has(member));
  await forEachBounded(missing, AT_ONCE_MAX, async (member) => {
    await calls.call({ token }, (server) => putGroupMember(server, group.id, member));
  });
}
