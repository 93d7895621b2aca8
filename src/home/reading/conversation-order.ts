/**
 * The order of the list of conversations: by their newest entries, the latest first.
 *
 * Direct conversations share one timeline, so the seqs of their newest messages order them. Each group has its own log,
 * so ranks (src/home/ranks.ts) place groups among them.
 *
 * All pages of a list show one moment. `AsOf` names it: the newest entry that counts (conversation-places.ts).
 */
import { AppError } from "../../base/errors.ts";
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import { stepsUnlessDamaged } from "../damage.ts";
import type { GroupMirror } from "../group-mirror.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";

/** `seq`: of the newest message, in the timeline; 0 for a group. */
export type Place = { address: Address; rank: number; seq: Seq };

/** The newest entry that counts: by its seq in the timeline, and by its rank in groups. */
export type AsOf = { head: Seq; rank: number };

/** Where a page continues. */
export type Cursor = { asOf: AsOf; after: Place };

/** Conversations that are looked at in one step. */
export const LOOKS_PER_STEP = 200;

/** A total order: no two places are equal. */
export function newestFirst(a: Place, b: Place): number {
  if (a.rank !== b.rank) return b.rank - a.rank;
  // Of two equal ranks, the direct message counts as later.
  if (isGroup(a.address) !== isGroup(b.address)) return isGroup(a.address) ? 1 : -1;
  if (a.seq !== b.seq) return b.seq - a.seq;
  return a.address < b.address ? -1 : a.address > b.address ? 1 : 0;
}

/**
 * Loads the user's groups, and returns the newest entry that the list would show now. Entries become durable in the
 * order of their ranks, so everything below that rank is there already.
 */
export function* asOfNow(shard: Shard, user: UserState): Steps<AsOf> {
  const groups: { conversation: ConversationState; group: GroupMirror }[] = [];
  let looked = 0;
  for (const conversation of user.conversations.values()) {
    if (++looked % LOOKS_PER_STEP === 0) yield;
    if (!isGroup(conversation.address)) continue;
    const group = yield* listedGroup(shard, conversation);
    if (group !== undefined && isListed(user, conversation, group)) groups.push({ conversation, group });
  }
  // In this turn: an idle group may have been loaded anew.
  const ranks = groups.map(
    ({ conversation, group }) => (shard.mirrors.peek(group.address, conversation.shard) ?? group).lastRank,
  );
  return { head: user.headSeq, rank: Math.max(user.lastRank, ...ranks) };
}

/**
 * The group of a conversation. Undefined if there is none, or if its data is damaged: it is left out, and the others
 * are still listed.
 */
export function* listedGroup(
  { mirrors }: Shard,
  { address, shard }: ConversationState,
): Steps<GroupMirror | undefined> {
  const group = address as GroupAddress;
  return mirrors.peek(group, shard) ?? (yield* stepsUnlessDamaged(mirrors.steps(group, shard)));
}

/** Whether the list shows the conversation now. @param group of the conversation, if it is with a group */
export function isListed(
  { user }: UserState,
  { address, joinedSeq, lastSeq }: ConversationState,
  group: GroupMirror | undefined,
): boolean {
  return isGroup(address) ? joinedSeq > 0 && group?.hasMember(user) === true : lastSeq > 0;
}

export const cursorText = ({ asOf, after }: Cursor): string =>
  `${asOf.head}.${asOf.rank}.${after.rank}.${after.seq}.${after.address}`;

/** @throws AppError bad_request for a text that no page has given */
export function parseCursor(text: string): Cursor {
  const [, head, top, rank, seq, address] =
    /^(\d{1,16})\.(\d{1,16})\.(\d{1,16})\.(\d{1,16})\.([@#].+)$/.exec(text) ?? [];
  if (address === undefined) throw new AppError("bad_request", "before: not a value that a page gave as `before`");
  return {
    asOf: { head: Number(head) as Seq, rank: Number(top) },
    after: { address: address as Address, rank: Number(rank), seq: Number(seq) as Seq },
  };
}
