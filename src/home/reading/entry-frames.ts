/** Turns stored entries into what clients see: frames and messages. */
import type { Steps } from "../../base/steps.ts";
import { isGroup, nameOf, shardOf, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import { readGroupEntry, readTimelineEntry, refOfPostedKey } from "../../domain/entries.ts";
import type { EntryFrame, WireMessage } from "../../protocol/frames.ts";
import { groupFrame } from "../groups/group-changes.ts";
import type { GroupHead } from "../groups/group-heads.ts";
import type { Shard } from "../shard.ts";
import { membershipFrame } from "../handoffs/take-membership.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq, StoredEntry } from "../../../storage/types.ts";

/** Entries of a timeline, before their frames are made: a membership names the epoch of its group. */
export function* readMembershipHeads(shard: Shard, user: UserState, entries: readonly StoredEntry[]): Steps<void> {
  const groups = new Set<GroupAddress>();
  for (const { lane } of entries) if (isGroup(lane as Address)) groups.add(lane as GroupAddress);
  if (groups.size > 0) yield* shard.mirrors.readHeads(user, groups);
}

/** After `readMembershipHeads`, in the same turn. */
export function timelineFrame(shard: Shard, user: UserState, stored: StoredEntry): EntryFrame {
  const entry = readTimelineEntry(stored);
  if (entry.kind === "membership") {
    const group = stored.lane as GroupAddress;
    const head = shard.mirrors.head(group, user.conversations.get(group)?.shard ?? shardOf(group), user.user);
    // For a former life the epoch is empty: a device has nothing under it.
    return membershipFrame(
      stored.seq,
      group,
      entry,
      head === undefined || entry.groupSeq < head.bornSeq ? "" : head.epoch,
    );
  }
  return { t: "message", ...directMessage(shard, user, stored, entry) };
}

/** A direct message in the numbering of `user`; undefined for a membership. */
export function timelineMessage(shard: Shard, user: UserState, stored: StoredEntry): WireMessage | undefined {
  const entry = readTimelineEntry(stored);
  return entry.kind === "membership" ? undefined : directMessage(shard, user, stored, entry);
}

function directMessage(
  shard: Shard,
  user: UserState,
  stored: StoredEntry,
  entry: Exclude<ReturnType<typeof readTimelineEntry>, { kind: "membership" }>,
): WireMessage {
  const conversation = stored.lane as Address;
  if (entry.kind === "erased") return tombstone(shard, user, conversation, stored.seq);
  const { sentAt, text } = entry;
  if (entry.kind === "sent") {
    const id = shard.ids.encode(user.log.shard, user.handle.streamNo, stored.seq);
    return { id, conversation, from: user.user, text, seq: stored.seq, sentAt, ref: stored.key };
  }
  const id = shard.ids.encode(shardOf(conversation), entry.fromStreamNo, entry.fromSeq);
  return { id, conversation, from: nameOf(conversation), text, seq: stored.seq, sentAt };
}

export function groupEntryFrame(shard: Shard, group: GroupHead, stored: StoredEntry, viewer: UserId): EntryFrame {
  const entry = readGroupEntry(stored);
  if (entry.kind === "changed") return groupFrame(group.address, stored.seq, entry.detail, group.epoch);
  return { t: "message", ...groupMessage(shard, group, stored, viewer)! };
}

/** Undefined for a change of the group. */
export function groupMessage(
  shard: Shard,
  group: GroupHead,
  stored: StoredEntry,
  viewer: UserId,
): WireMessage | undefined {
  const entry = readGroupEntry(stored);
  if (entry.kind === "changed") return undefined;
  if (entry.kind === "erased") return tombstone(shard, group, group.address, stored.seq);
  const id = shard.ids.encode(group.log.shard, group.handle.streamNo, stored.seq);
  const { author, text, sentAt } = entry;
  const message = { id, conversation: group.address, from: author, text, seq: stored.seq, sentAt };
  return author === viewer ? { ...message, ref: refOfPostedKey(stored.key) } : message;
}

/**
 * An erased message in its place. Its author and time are erased. If another user had sent it, its id is erased too;
 * the tombstone has the id of its place in this log.
 */
function tombstone(
  shard: Shard,
  { log, handle, erasedAt }: UserState | GroupHead,
  conversation: Address,
  seq: Seq,
): WireMessage {
  const id = shard.ids.encode(log.shard, handle.streamNo, seq);
  return { id, conversation, from: "", seq, sentAt: 0, deletedAt: erasedAt };
}
