/**
 * Exactly once (G2): finds the message that a ref already stands for.
 *
 * `RecentRefs` tells which refs are certainly new, at the cost of one comparison. After a load it needs one look-up for
 * each prefix (`k3f9-` of `k3f9-18`). All other refs are looked up: among the sends on their way, then in the log,
 * whose segments hold the refs of all time.
 */
import { AppError } from "../base/errors.ts";
import { isGroup, type Address, type GroupAddress } from "../domain/address.ts";
import { postedKey, readGroupEntry, readTimelineEntry } from "../domain/entries.ts";
import { erasedKey, splitRef } from "../domain/refs.ts";
import type { KeyHit, Seq } from "../../storage/types.ts";
import type { SendReply, SendRequest, Sent } from "./pending-send.ts";
import { groupOfPostedRef } from "./post-group.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

/** True when the request is a repeat and has been, or will be, answered as one. */
export function answeredAsRepeat(host: Shards, sender: UserState, request: SendRequest, reply: SendReply): boolean {
  return mustLookUp(host, sender, request) && findRepeat(host, sender, request, reply);
}

function mustLookUp(host: Shards, sender: UserState, { ref, retry }: SendRequest): boolean {
  return retry || (sender.recentRefs.mayRepeat(ref) ?? unheldMayRepeat(sender, ref, host.clock.monotonicMs()));
}

/** Of a ref that ends in a counter one look-up tells what there is of its prefix, and so of all that follow. */
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
 * The highest counter with this prefix among all refs that the user ever used, -1 for none; undefined when the log
 * knows whole refs alone.
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

function findRepeat(host: Shards, sender: UserState, request: SendRequest, reply: SendReply): boolean {
  for (const pending of sender.pendingSends) {
    if (pending.ref !== request.ref) continue;
    if (pending.to === request.to && pending.text === request.text) (pending.repeats ??= []).push(reply);
    else reply.refused(request.ref, conflict(request.ref));
    return true;
  }
  const sent = storedSend(host, sender, request);
  if (sent === undefined) return false;
  // The text of an erased message is not there to be compared.
  const isSame = sent.to === request.to && (sent.text === request.text || sent.deletedAt !== undefined);
  if (isSame) reply.sent(sent, true);
  else reply.refused(request.ref, conflict(request.ref));
  return true;
}

function conflict(ref: string): AppError {
  return new AppError(
    "ref_conflict",
    `ref ${JSON.stringify(ref)} was used for another message; a ref names one message for ever`,
  );
}

function storedSend(host: Shards, sender: UserState, { ref, to }: SendRequest): Sent | undefined {
  const hit = sender.log.findKey(sender.address, ref) ?? erasedSend(sender, ref);
  if (hit === undefined) return isGroup(to) ? postedBefore(host, sender, to, ref) : undefined;
  if (hit.value === null) return sentAt(host, sender, ref, hit.seq);
  const group = groupOfPostedRef(sender, hit.value);
  return group === undefined ? undefined : postedAt(host, group, ref, hit.seq);
}

/** The entry of an erased message has no key any more; its ref stands for it under another name (erasure.ts). */
function erasedSend(sender: UserState, ref: string): KeyHit | undefined {
  if (sender.erasedAt === 0) return undefined;
  const hit = sender.log.findKey(sender.address, erasedKey(ref));
  return hit && { seq: hit.seq, value: null };
}

function sentAt(host: Shards, sender: UserState, ref: string, seq: Seq): Sent | undefined {
  const [stored] = sender.log.readForward(sender.address, (seq - 1) as Seq, 1);
  if (stored === undefined || stored.seq !== seq) return undefined;
  const entry = readTimelineEntry(stored);
  const id = host.ids.encode(sender.log.shard, sender.handle.streamNo, seq);
  if (entry.kind === "erased") return erasedSent({ ref, id, to: stored.lane as Address, seq }, sender.erasedAt);
  if (entry.kind !== "sent") return undefined;
  return { ref, id, to: stored.lane as Address, seq, sentAt: entry.sentAt, text: entry.text };
}

/** The group's log knows its messages by author and ref: it decides when the author's own record of the ref was lost in a crash. */
function postedBefore(host: Shards, sender: UserState, to: GroupAddress, ref: string): Sent | undefined {
  const hit: KeyHit | undefined = host.log(to).findKey(to, postedKey(sender.user, ref));
  return hit === undefined ? undefined : postedAt(host, to, ref, hit.seq);
}

function postedAt(host: Shards, group: GroupAddress, ref: string, seq: Seq): Sent | undefined {
  const log = host.log(group);
  const [stored] = log.readForward(group, (seq - 1) as Seq, 1);
  const head = log.head(group);
  if (stored === undefined || stored.seq !== seq || head === undefined) return undefined;
  const entry = readGroupEntry(stored);
  const place = { ref, id: host.ids.encode(log.shard, head.streamNo, seq), to: group, seq };
  if (entry.kind === "erased") return erasedSent(place, host.groups.get(group)?.erasedAt ?? 0);
  if (entry.kind !== "posted") return undefined;
  return { ...place, sentAt: entry.sentAt, text: entry.text };
}

const erasedSent = (place: Pick<Sent, "ref" | "id" | "to" | "seq">, deletedAt: number): Sent => ({
  ...place,
  sentAt: 0,
  text: undefined,
  deletedAt,
});
