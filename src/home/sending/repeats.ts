/**
 * Exactly once (G2): finds the message that a ref already stands for.
 *
 * `RecentRefs` tells which refs are certain to be new, at the cost of one comparison. After a load it needs one look-up
 * per prefix (`k3f9-` of `k3f9-18`). All other refs are looked up: among the sends on their way, then in the author's
 * log, whose segments hold the refs of all time. For the ref of a post the group's shard is asked.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import { erasedKey, splitRef } from "../../domain/refs.ts";
import type { KeyHit, Seq } from "../../../storage/types.ts";
import { refConflict } from "./post-group.ts";
import type { SendReply, SendRequest, Sent } from "./pending-send.ts";
import type { Shard } from "../shard.ts";
import { groupOfPostedRef } from "../handoffs/take-posted.ts";
import type { UserState } from "../state/user-state.ts";

/**
 * What a ref stands for. "new": nothing. "ask the group": nothing in this shard, but the group's log may have it.
 * "answered": a message, and the request is answered as a repeat. An object: a post, which is in another log.
 */
export type Repeat = "new" | "ask the group" | "answered" | PostedBefore;

export type PostedBefore = { readonly group: GroupAddress; readonly seq: Seq };

export function findRepeat(shard: Shard, sender: UserState, request: SendRequest, reply: SendReply): Repeat {
  return mustLookUp(shard, sender, request) ? lookUp(shard, sender, request, reply) : "new";
}

function mustLookUp(shard: Shard, sender: UserState, { ref, retry }: SendRequest): boolean {
  return retry || (sender.recentRefs.mayRepeat(ref) ?? unheldMayRepeat(sender, ref, shard.clock.monotonicMs()));
}

/**
 * If the ref ends in a counter, one look-up finds the highest counter of its prefix, which tells about all later refs.
 */
function unheldMayRepeat(sender: UserState, ref: string, nowMs: number): boolean {
  const { recentRefs } = sender;
  if (recentRefs.holdsAll(nowMs)) return false;
  const { prefix, counter } = splitRef(ref);
  const highest = counter < 0 ? undefined : highestUsed(sender, prefix);
  if (highest === undefined) return true;
  recentRefs.noteHighest(prefix, highest, nowMs);
  return counter <= highest;
}

/**
 * The highest counter with this prefix among all refs that the user ever used; -1: none. Undefined if the log can only
 * look up whole refs.
 */
function highestUsed({ log, address, erasedAt, pendingSends }: UserState, prefix: string): number | undefined {
  const stored = log.highestCounter(address, prefix);
  const erased = erasedAt === 0 ? -1 : log.highestCounter(address, erasedKey(prefix));
  if (stored === undefined || erased === undefined) return undefined;
  let highest = Math.max(stored, erased);
  for (const { ref } of pendingSends) {
    const pending = splitRef(ref);
    if (pending.prefix === prefix) highest = Math.max(highest, pending.counter);
  }
  return highest;
}

function lookUp(shard: Shard, sender: UserState, request: SendRequest, reply: SendReply): Repeat {
  const { ref, to } = request;
  const pending = sender.pendingSend(ref);
  if (pending !== undefined) {
    if (pending.to === to && pending.text === request.text) (pending.repeats ??= []).push(reply);
    else reply.refused(ref, refConflict(ref));
    return "answered";
  }
  const hit = sender.log.findKey(sender.address, ref) ?? erasedSend(sender, ref);
  if (hit === undefined) return isGroup(to) ? "ask the group" : "new";
  if (hit.value !== null) {
    const group = groupOfPostedRef(sender, hit.value);
    return group === undefined ? "new" : { group, seq: hit.seq };
  }
  const sent = sentAt(shard, sender, ref, hit.seq);
  if (sent === undefined) return "new";
  answerRepeat(request, reply, sent);
  return "answered";
}

/** The text of an erased message is gone and cannot be compared. */
function answerRepeat({ ref, to, text }: SendRequest, reply: SendReply, sent: Sent): void {
  if (sent.to === to && (sent.text === text || sent.deletedAt !== undefined)) reply.sent(sent, true);
  else reply.refused(ref, refConflict(ref));
}

/** Asks the group's shard for the post. @returns whether the request is answered: false if there is no such post */
export function* answeredAsPosted(
  shard: Shard,
  sender: UserState,
  request: SendRequest,
  { group, seq }: PostedBefore,
  reply: SendReply,
): Steps<boolean> {
  const posted = yield* answered(shard.router.ask("posted", group, { group, seq }));
  if (posted === undefined) return false;
  const sent = { ref: request.ref, to: group, ...posted };
  shard.mirrors.settled(sender, group, { seq, tell: () => answerRepeat(request, reply, sent) });
  return true;
}

/** An erased message's entry has no key any more; its ref is kept under another key (erasure.ts). */
function erasedSend(sender: UserState, ref: string): KeyHit | undefined {
  if (sender.erasedAt === 0) return undefined;
  const hit = sender.log.findKey(sender.address, erasedKey(ref));
  return hit && { seq: hit.seq, value: null };
}

function sentAt(shard: Shard, sender: UserState, ref: string, seq: Seq): Sent | undefined {
  const [stored] = sender.log.readForward(sender.address, (seq - 1) as Seq, 1);
  if (stored === undefined || stored.seq !== seq) return undefined;
  const entry = readTimelineEntry(stored);
  const id = shard.ids.encode(sender.log.shard, sender.handle.streamNo, seq);
  const found = { ref, id, to: stored.lane as Address, seq };
  if (entry.kind === "erased") return { ...found, sentAt: 0, text: undefined, deletedAt: sender.erasedAt };
  if (entry.kind !== "sent") return undefined;
  return { ...found, sentAt: entry.sentAt, text: entry.text };
}
