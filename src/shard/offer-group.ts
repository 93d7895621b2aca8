/** What the entries of a group's log hand over, offered again: refs of posts to their authors' shards, and memberships. */
import { shardOf, userAddress, type GroupAddress, type UserId } from "../domain/address.ts";
import { readGroupEntry, refOfPostedKey, type GroupChangeDetail, type MembershipEntry } from "../domain/entries.ts";
import type { Offset, Seq, StoredEntry } from "../../storage/types.ts";
import { unlessDamaged } from "./damage.ts";
import { joinedBy, leftBy, takeMembership } from "./group-changes.ts";
import type { GroupState } from "./group-state.ts";
import type { Handed } from "./handoff-ledger.ts";
import type { HandoffOutcome, PostedHandoff } from "./messages/handoff.ts";
import type { Shard } from "./shard.ts";

/** @returns how many were offered */
export function offerGroupEntry(shard: Shard, address: GroupAddress, stored: StoredEntry): number {
  const entry = readGroupEntry(stored);
  if (entry.kind === "erased") return 0;
  if (entry.kind === "posted") {
    const offer = new PostedOffer(shard, address, entry.author, refOfPostedKey(stored.key), stored.seq, stored.offset);
    shard.ledger.add(offer);
    offer.handOff();
    return 1;
  }
  const group = shard.groups.get(address);
  if (group === undefined) return 0;
  const { detail } = entry;
  for (const user of joinedBy(detail)) offer(shard, user, "joined", group, stored.seq, detail);
  for (const user of leftBy(detail)) offer(shard, user, "left", group, stored.seq, detail);
  return 1;
}

function offer(
  shard: Shard,
  user: UserId,
  change: MembershipEntry["change"],
  { address, epoch, bornSeq }: GroupState,
  seq: Seq,
  detail: GroupChangeDetail,
): void {
  const state = unlessDamaged(() => shard.host.users.get(user));
  if (state !== undefined) takeMembership(state, change, address, seq, detail, seq < bornSeq ? "" : epoch);
}

/** Without it a ref would be new again wherever else it is used, and in the group once its message is erased. */
class PostedOffer implements PostedHandoff, HandoffOutcome, Handed {
  readonly kind = "posted";
  readonly #shard: Shard;
  readonly group: GroupAddress;
  readonly author: UserId;
  readonly ref: string;
  readonly seq: Seq;
  readonly offset: Offset;
  isConfirmed = false;

  constructor(shard: Shard, group: GroupAddress, author: UserId, ref: string, seq: Seq, offset: Offset) {
    this.#shard = shard;
    this.group = group;
    this.author = author;
    this.ref = ref;
    this.seq = seq;
    this.offset = offset;
  }

  handOff(): void {
    try {
      this.#shard.router.handOff(shardOf(userAddress(this.author)), this, this);
    } catch (error) {
      this.notTaken(error);
    }
  }

  confirmed(): void {
    this.isConfirmed = true;
  }

  missing(): void {}

  notTaken(_error: unknown): void {
    this.#shard.offerSoon();
  }
}
