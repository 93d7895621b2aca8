/**
 * Offers what the entries of a group's log hand over again: refs of posts to their authors' shards, and memberships to
 * the users' shards.
 */
import type { Steps } from "../../base/steps.ts";
import { shardOf, userAddress, type GroupAddress, type UserId } from "../../domain/address.ts";
import { readGroupEntry, refOfPostedKey, type GroupChangeDetail } from "../../domain/entries.ts";
import type { Offset, Seq, StoredEntry } from "../../../storage/types.ts";
import type { Handed } from "./handoff-ledger.ts";
import { joinedBy, leftBy } from "./last-membership-change.ts";
import { MembershipHandoffs } from "./membership-handoffs.ts";
import type { HandoffOutcome, PostedHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";

const NONE = 0 as Seq;

export class GroupOffers {
  readonly #shard: Shard;
  readonly #address: GroupAddress;
  /** Per user, the last change that was offered. Earlier changes that are not offered are confirmed. */
  readonly #prev = new Map<UserId, Seq>();

  constructor(shard: Shard, address: GroupAddress) {
    this.#shard = shard;
    this.#address = address;
  }

  /** Entries come in their order. @returns how many were offered */
  *offer(stored: StoredEntry): Steps<number> {
    const entry = readGroupEntry(stored);
    if (entry.kind === "erased") return 0;
    if (entry.kind === "posted") return this.#offerPosted(entry.author, stored);
    return yield* this.#offerMemberships(entry.detail, stored);
  }

  #offerPosted(author: UserId, { key, seq, offset }: StoredEntry): number {
    const offer = new PostedOffer(this.#shard, this.#address, author, refOfPostedKey(key), seq, offset);
    this.#shard.ledger.add(offer);
    offer.handOff();
    return 1;
  }

  *#offerMemberships(detail: GroupChangeDetail, { seq, offset }: StoredEntry): Steps<number> {
    const users = [...joinedBy(detail), ...leftBy(detail)];
    if (users.length === 0) return 0;
    const { groups, ledger } = this.#shard;
    const group = groups.peek(this.#address) ?? (yield* groups.steps(this.#address));
    if (group === undefined) return 0;
    const epoch = seq < group.bornSeq ? "" : group.epoch;
    const prevOf = (user: UserId): Seq => this.#prev.get(user) ?? NONE;
    const handoffs = new MembershipHandoffs(this.#shard, { group: this.#address, epoch, seq, detail, prevOf }, offset);
    ledger.add(handoffs);
    for (const user of users) this.#prev.set(user, seq);
    yield* handoffs.handOver();
    return 1;
  }
}

/**
 * The ref of a post. Without it the ref would be new in other conversations, and in the group once its message is
 * erased.
 */
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

  get stream(): GroupAddress {
    return this.group;
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
