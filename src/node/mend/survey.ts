/**
 * What the streams of all shards know of addresses in doubtful shards: that they exist, their last positions, and who
 * is in which group. A doubtful shard may have lost something.
 *
 *     timeline of P    conversation with U: U exists, and P has got U's messages through a seq of U's stream;
 *                      P's own messages were handed off to U through a seq of P's stream
 *                      a group: it exists, and had a seq; P is in it, or was
 *     group            members, authors and users who changed something: they exist
 */
import type { Steps } from "../../base/steps.ts";
import {
  isGroup,
  nameOf,
  NAME_PATTERN,
  shardOf,
  userAddress,
  type Address,
  type GroupAddress,
  type UserAddress,
  type UserId,
} from "../../domain/address.ts";
import { readGroupEntry, readTimelineEntry } from "../../domain/entries.ts";
import type { Seq, ShardId, StoredEntry } from "../../../storage/types.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { isShardStream } from "../../home/state/cells.ts";
import type { ConversationState } from "../../home/state/conversation-state.ts";
import { stepsUnlessDamaged, unlessDamaged } from "../../home/damage.ts";
import { handedOffThrough } from "../../home/handoffs/handoff-ledger.ts";
import { lastSentBefore } from "../../home/sending/send-direct.ts";
import type { ShardHost } from "../shard-host.ts";
import type { UserState } from "../../home/state/user-state.ts";
import type { Losses } from "./losses.ts";

const PAGE = 1000;

/** `seq`: the stream had at least this many entries. `streamNo`: the number that it had; 0: unknown. */
export type Known = { seq: number; streamNo: number };
export type Membership = { user: UserId; group: GroupAddress; joinedSeq: number };

export class Survey {
  readonly #host: ShardHost;
  readonly #losses: Losses;
  /** Addresses in doubtful shards. */
  readonly known = new Map<Address, Known>();
  /** Memberships of which the user or the group is in a doubtful shard. */
  readonly memberships = new Map<string, Membership>();
  /**
   * By receiver in a doubtful shard, then by sender: seq of the last message that was handed off, as far as the
   * sender's shard knows.
   */
  readonly handedOver = new Map<Address, Map<UserAddress, Seq>>();
  /** Streams of doubtful shards that were found. */
  readonly #there = new Set<string>();
  /** Users who once asked for an erasure. */
  readonly erasers: UserId[] = [];

  constructor(host: ShardHost, losses: Losses) {
    this.#host = host;
    this.#losses = losses;
  }

  *look(shards: readonly ShardId[]): Steps<void> {
    const streams = new Map<ShardLog, Set<string>>();
    for (const shard of shards) {
      const log = unlessDamaged(() => this.#host.store.shard(shard));
      if (log === undefined) continue;
      const names = log.streams();
      if (![...names].some((name) => !isShardStream(name))) this.#losses.noteEmpty(shard);
      else streams.set(log, names);
      yield;
    }
    for (const [log, names] of streams)
      if (this.#losses.isDoubtful(log.shard)) for (const name of names) this.#there.add(name);
    for (const [log, names] of streams)
      for (const name of names) if (isAddress(name)) yield* stepsUnlessDamaged(this.#lookAt(log, name));
  }

  *#lookAt(log: ShardLog, address: Address): Steps<void> {
    if (this.#isAsked(address)) this.#mention(address);
    if (isGroup(address)) return yield* this.#lookAtGroup(log, address);
    if (log.cell(address, "erasure") !== undefined) this.erasers.push(nameOf(address) as UserId);
    const user = yield* this.#host.ownerOf(address).users.steps(nameOf(address) as UserId);
    if (user === undefined) return this.#losses.noteMissing(address);
    for (const conversation of user.conversations.values()) this.#lookAtConversation(user, conversation);
  }

  #lookAtConversation(user: UserState, conversation: ConversationState): void {
    const { address, takenThrough, joinedSeq, ownRead, askedSeq } = conversation;
    if (!isAddress(address)) return;
    if (isGroup(address)) {
      if (this.#isAsked(address)) this.#mention(address, Math.max(takenThrough, joinedSeq, ownRead, askedSeq));
      if (joinedSeq > 0) this.#noteMembership(user.user, address, joinedSeq);
    } else if (address !== user.address && this.#isAsked(address)) {
      this.#mention(address, takenThrough, this.#streamNoOf(user, conversation));
      this.#noteHandedOver(user, conversation);
    }
  }

  #noteHandedOver(sender: UserState, { address: receiver, sentSeq }: ConversationState): void {
    const { log, address } = sender;
    const through = handedOffThrough(log);
    let last = sentSeq ?? lastSentBefore(log, address, receiver, (sender.headSeq + 1) as Seq);
    // Messages above the mark are offered again, after the one before it.
    while (last > 0 && (log.readForward(address, (last - 1) as Seq, 1)[0]?.offset ?? 0) > through)
      last = lastSentBefore(log, address, receiver, last);
    if (last === 0) return;
    const senders = this.handedOver.get(receiver) ?? new Map<UserAddress, Seq>();
    this.handedOver.set(receiver, senders.set(address, last));
  }

  /** The other side's stream number, taken from its newest message here. Called for streams that are gone. */
  #streamNoOf({ log, address }: UserState, { address: peer, takenSeq }: ConversationState): number {
    const [stored] = takenSeq === 0 || this.#there.has(peer) ? [] : log.readForward(address, (takenSeq - 1) as Seq, 1);
    const entry = stored && readTimelineEntry(stored);
    return entry?.kind === "taken" ? entry.fromStreamNo : 0;
  }

  *#lookAtGroup(log: ShardLog, address: GroupAddress): Steps<void> {
    const group = yield* this.#host.ownerOf(address).groups.steps(address);
    if (group === undefined) this.#losses.noteMissing(address);
    for (const [user, { joinedSeq }] of group?.members ?? []) {
      this.#mentionUser(user);
      this.#noteMembership(user, address, joinedSeq);
    }
    for (const page of pagesOf(log, address)) {
      for (const stored of page) this.#lookAtGroupEntry(stored);
      yield;
    }
  }

  #lookAtGroupEntry(stored: StoredEntry): void {
    const entry = readGroupEntry(stored);
    if (entry.kind === "posted") this.#mentionUser(entry.author);
    if (entry.kind !== "changed") return;
    const { by, user, members = [] } = entry.detail;
    for (const one of [by, ...(user === undefined ? [] : [user]), ...members]) this.#mentionUser(one);
  }

  #noteMembership(user: UserId, group: GroupAddress, joinedSeq: number): void {
    if (!this.#isAsked(group) && !this.#isAsked(userAddress(user))) return;
    const key = `${user} ${group}`;
    if (!this.memberships.has(key)) this.memberships.set(key, { user, group, joinedSeq });
  }

  #mentionUser(user: UserId): void {
    const address: UserAddress = userAddress(user);
    if (this.#isAsked(address)) this.#mention(address);
  }

  #mention(address: Address, seq = 0, streamNo = 0): void {
    const known = this.known.get(address);
    if (known === undefined) return void this.known.set(address, { seq, streamNo });
    known.seq = Math.max(known.seq, seq);
    known.streamNo = Math.max(known.streamNo, streamNo);
  }

  #isAsked(address: Address): boolean {
    return this.#losses.isDoubtful(shardOf(address));
  }
}

/** Entries of a stream from its beginning. */
export function* pagesOf(log: ShardLog, stream: string): Iterable<StoredEntry[]> {
  for (let after = 0 as Seq; ;) {
    const page = log.readForward(stream, after, PAGE);
    if (page.length > 0) yield page;
    if (page.length < PAGE) return;
    after = page.at(-1)!.seq;
  }
}

export const isAddress = (name: string): name is Address => /^[@#]/.test(name) && NAME_PATTERN.test(name.slice(1));
