/**
 * The newest places of a user's conversations in a list of one moment, as many as a page needs. A user may have very
 * many conversations, and groups that are not loaded, so they are looked at in steps.
 *
 * The place of a conversation that has got newer entries since that moment is looked up in the log. So paging shows
 * each conversation once, even while new messages arrive.
 */
import { answered, type Steps } from "../../base/steps.ts";
import { isGroup, type GroupAddress } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import { viewerOf } from "../authorization.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { GroupMirror } from "../group-mirror.ts";
import { rankOf } from "./rank-of.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { Seq } from "../../../storage/types.ts";
import { isListed, listedGroup, LOOKS_PER_STEP, newestFirst, type AsOf, type Place } from "./conversation-order.ts";

/**
 * The most places that are looked up in the log for one page. More have moved only if a list is paged for very long.
 */
const MOVED_MAX = 500;

export class NewestPlaces {
  readonly #shard: Shard;
  readonly #user: UserState;
  readonly #asOf: AsOf;
  readonly #countMax: number;
  #places: Place[] = [];
  #moved = 0;
  /** Whether there are no further places. */
  isAll = true;

  constructor(shard: Shard, user: UserState, asOf: AsOf, countMax: number) {
    this.#shard = shard;
    this.#user = user;
    this.#asOf = asOf;
    this.#countMax = countMax;
  }

  /** Looks at all places behind `after`. @param cost counts the conversations and entries that are looked at */
  *look(after: Place | undefined, cost: { looked: number }): Steps<void> {
    let looked = 0;
    for (const conversation of this.#user.conversations.values()) {
      cost.looked++;
      if (++looked % LOOKS_PER_STEP === 0) yield;
      const group = isGroup(conversation.address) ? yield* listedGroup(this.#shard, conversation) : undefined;
      if (!isListed(this.#user, conversation, group)) continue;
      const moved = this.#moved;
      const place = yield* this.#placeOf(conversation, group, cost);
      if (place !== undefined && (after === undefined || newestFirst(after, place) < 0)) this.#add(place);
      if (this.#moved > moved) yield;
    }
  }

  /** Newest first. */
  newest(): Place[] {
    this.#places.sort(newestFirst);
    if (this.#places.length > this.#countMax) this.isAll = false;
    return (this.#places = this.#places.slice(0, this.#countMax));
  }

  #add(place: Place): void {
    this.#places.push(place);
    if (this.#places.length >= 2 * this.#countMax + LOOKS_PER_STEP) this.newest();
  }

  /** Undefined if the list did not show the conversation at that moment. */
  *#placeOf(
    conversation: ConversationState,
    group: GroupMirror | undefined,
    cost: { looked: number },
  ): Steps<Place | undefined> {
    const { address, lastSeq, lastRank } = conversation;
    const place = { address, rank: group?.lastRank ?? lastRank, seq: group === undefined ? lastSeq : (0 as Seq) };
    if (lastSeq <= this.#asOf.head && place.rank <= this.#asOf.rank) return place;
    if (this.#moved++ >= MOVED_MAX) return undefined;
    return yield* this.#placeBefore(conversation, cost);
  }

  *#placeBefore({ address }: ConversationState, cost: { looked: number }): Steps<Place | undefined> {
    const { log, address: timeline } = this.#user;
    const [stored] = log.readLaneBackward(timeline, address, (this.#asOf.head + 1) as Seq, 1);
    cost.looked++;
    if (stored === undefined) return undefined;
    if (!isGroup(address)) {
      return { address, rank: rankOf(stored.seq, (at) => this.#timelineRank(at), cost), seq: stored.seq };
    }
    const entry = readTimelineEntry(stored);
    const isIn = entry.kind === "membership" && entry.change === "joined";
    return isIn ? yield* this.#groupPlaceBefore(address, cost) : undefined;
  }

  *#groupPlaceBefore(group: GroupAddress, cost: { looked: number }): Steps<Place> {
    const question = { group, viewer: viewerOf(this.#user, group), rank: this.#asOf.rank };
    const { rank, looked } = yield* answered(this.#shard.router.ask("groupRankAsOf", group, question));
    cost.looked += looked;
    return { address: group, rank, seq: 0 as Seq };
  }

  #timelineRank(seq: number): number | undefined {
    const [stored] = this.#user.log.readForward(this.#user.address, (seq - 1) as Seq, 1);
    const entry = stored && readTimelineEntry(stored);
    return entry !== undefined && "rank" in entry ? entry.rank : undefined;
  }
}
