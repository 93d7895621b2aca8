/**
 * Where the conversations of a user stand in a list of one moment: the newest places, as many as a page needs. There
 * may be very many conversations, and groups that are not loaded, so they are looked at in steps.
 *
 * Where a conversation has got newer entries since that moment, its place is looked up in the log. So paging meets each
 * conversation once, whatever is said meanwhile.
 */
import type { Steps } from "../base/steps.ts";
import { isGroup } from "../domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../domain/entries.ts";
import type { ConversationState } from "../shard/conversation-state.ts";
import { stepsUnlessDamaged } from "../shard/damage.ts";
import type { GroupState } from "../shard/group-state.ts";
import type { ShardHost } from "../shard/shard-host.ts";
import type { UserState } from "../shard/user-state.ts";
import type { Seq } from "../../storage/types.ts";
import { isListed, LOOKS_PER_STEP, newestFirst, type AsOf, type Place } from "./conversation-order.ts";

/** So many places are looked up for a page. More have moved only where a list is paged for very long. */
const MOVED_MAX = 500;
/** A run of erased entries is passed over so far. */
const ERASED_MAX = 32;

export class NewestPlaces {
  readonly #host: ShardHost;
  readonly #user: UserState;
  readonly #asOf: AsOf;
  readonly #countMax: number;
  #places: Place[] = [];
  #moved = 0;
  /** Whether there are no others. */
  isAll = true;

  constructor(host: ShardHost, user: UserState, asOf: AsOf, countMax: number) {
    this.#host = host;
    this.#user = user;
    this.#asOf = asOf;
    this.#countMax = countMax;
  }

  /** Looks at all behind `after`. @param cost counts what is looked at */
  *look(after: Place | undefined, cost: { looked: number }): Steps<void> {
    let looked = 0;
    for (const conversation of this.#user.conversations.values()) {
      cost.looked++;
      if (isGroup(conversation.address)) yield* stepsUnlessDamaged(this.#host.groups.steps(conversation.address));
      if (++looked % LOOKS_PER_STEP === 0) yield;
      if (!isListed(this.#host, this.#user, conversation)) continue;
      const moved = this.#moved;
      const place = this.#placeOf(conversation, cost);
      if (place !== undefined && (after === undefined || newestFirst(after, place) < 0)) this.#take(place);
      if (this.#moved > moved) yield;
    }
  }

  /** Newest first. */
  taken(): Place[] {
    this.#places.sort(newestFirst);
    if (this.#places.length > this.#countMax) this.isAll = false;
    return (this.#places = this.#places.slice(0, this.#countMax));
  }

  #take(place: Place): void {
    this.#places.push(place);
    if (this.#places.length >= 2 * this.#countMax + LOOKS_PER_STEP) this.taken();
  }

  /** Undefined when it was not in the list at that moment. */
  #placeOf(conversation: ConversationState, cost: { looked: number }): Place | undefined {
    const { address, lastSeq, lastRank } = conversation;
    const group = isGroup(address) ? this.#host.groups.get(address) : undefined;
    const place = { address, rank: group?.lastRank ?? lastRank, seq: group === undefined ? lastSeq : (0 as Seq) };
    if (lastSeq <= this.#asOf.head && place.rank <= this.#asOf.rank) return place;
    if (this.#moved++ >= MOVED_MAX) return undefined;
    return this.#placeBefore(conversation, group, cost);
  }

  #placeBefore(
    { address }: ConversationState,
    group: GroupState | undefined,
    cost: { looked: number },
  ): Place | undefined {
    const { log, address: timeline } = this.#user;
    const { head, rank } = this.#asOf;
    const [stored] = log.readLaneBackward(timeline, address, (head + 1) as Seq, 1);
    cost.looked++;
    if (stored === undefined) return undefined;
    if (group === undefined) {
      const rankAt = (seq: number): number => rankOf(seq, (at) => this.#timelineRank(at), cost);
      return { address, rank: rankAt(stored.seq), seq: stored.seq };
    }
    const entry = readTimelineEntry(stored);
    const isIn = entry.kind === "membership" && entry.change === "joined";
    return isIn ? { address, rank: groupRankAsOf(group, rank, cost), seq: 0 as Seq } : undefined;
  }

  #timelineRank(seq: number): number | undefined {
    const [stored] = this.#user.log.readForward(this.#user.address, (seq - 1) as Seq, 1);
    const entry = stored && readTimelineEntry(stored);
    return entry !== undefined && "rank" in entry ? entry.rank : undefined;
  }
}

/**
 * Rank of a group's newest entry that is not above `rank`: looked for from the end, in steps twice as large each time. 0 where
 * none of its present life is: when something was said in a former one is nobody's business, whatever page a client makes up.
 */
function groupRankAsOf(group: GroupState, rank: number, cost: { looked: number }): number {
  const rankAt = (seq: number): number => rankOf(seq, (at) => groupRank(group, at), cost);
  const { bornSeq } = group;
  let above = group.headSeq as number;
  let step = 1;
  while (above - step >= bornSeq && rankAt(above - step) > rank) {
    above -= step;
    step *= 2;
  }
  let below = Math.max(bornSeq - 1, above - step);
  while (above - below > 1) {
    const middle = Math.floor((above + below) / 2);
    if (rankAt(middle) > rank) above = middle;
    else below = middle;
  }
  return below < bornSeq ? 0 : rankAt(below);
}

function groupRank({ log, address }: GroupState, seq: number): number | undefined {
  const [stored] = log.readForward(address, (seq - 1) as Seq, 1);
  const entry = stored && readGroupEntry(stored);
  return entry === undefined || entry.kind === "erased" ? undefined : entry.rank;
}

/** Of an entry without a rank (it was erased, or is a membership) that of the next one before it; 0 where none is near. */
function rankOf(seq: number, read: (seq: number) => number | undefined, cost: { looked: number }): number {
  for (let at = seq; at > Math.max(0, seq - ERASED_MAX); at--) {
    cost.looked++;
    const rank = read(at);
    if (rank !== undefined) return rank;
  }
  return 0;
}
