/**
 * Erases again what had been erased and came back with older records. Three things prove that an entry had been erased:
 *
 *     kept          cell of its stream: retention had erased everything up to that seq
 *     gone/CONV     the other side's messages up to that seq were erased
 *     a ref         of a sent message, kept under the key that erased messages have
 *
 * An erasure that a user once asked for is done again where the user's content may be in shards that lost something.
 */
import { shardOf, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import { POSTED_LANE, readGroupEntry, readTimelineEntry } from "../../domain/entries.ts";
import { erasedKey } from "../../domain/refs.ts";
import { KEPT_FOR_DAMAGED } from "../../../storage/files/flush-error.ts";
import type { Seq, ShardId, StoredEntry } from "../../../storage/types.ts";
import { eraseRequested, finishErasure, reopenErasure } from "../../home/erasing/erase-user.ts";
import { ERASE_PAGE, Erasure, eraseEntries, unlessErasable } from "../../home/erasing/erasure.ts";
import { GroupState } from "../../home/state/group-state.ts";
import { retainedFrom } from "../../home/erasing/retention.ts";
import type { ShardHost } from "../shard-host.ts";
import type { UserState } from "../../home/state/user-state.ts";
import { isDamage } from "../../home/damage.ts";
import { inBatches } from "./batches.ts";
import type { Losses } from "./losses.ts";
import type { MendNote } from "./notes.ts";

const isStopped = (): boolean => false;

export class ErasureMender {
  readonly #host: ShardHost;
  readonly #losses: Losses;
  readonly notes: MendNote[] = [];
  #hasErased = false;

  constructor(host: ShardHost, losses: Losses) {
    this.#host = host;
    this.#losses = losses;
  }

  /**
   * @param streams users and groups of shards in which erased entries may have come back
   * @param erasers users who once asked for an erasure
   */
  async run(streams: readonly Address[], erasers: readonly UserId[]): Promise<void> {
    await inBatches(streams, (address) => this.#eraseProven(address));
    const again: UserId[] = [];
    for (const user of erasers) if (await this.#eraseUser(user)) again.push(user);
    if (this.#hasErased || again.length > 0) await this.#host.store.eraseNow().catch(unlessKept);
    for (const user of again) await finishErasure(this.#host.home(user), user);
  }

  async #eraseProven(address: Address): Promise<void> {
    const shard = this.#host.ownerOf(address);
    const { log } = shard;
    let entries = 0;
    for (let after = 0 as Seq; ;) {
      const state = shard.stateOf(address);
      if (state === undefined) return;
      const waiting = unlessErasable(shard, state, isStopped);
      if (waiting !== undefined) {
        await waiting;
        continue;
      }
      const page = log.readForward(address, after, ERASE_PAGE);
      const erasure = log.within(() => provenIn(state, page));
      if (!erasure.isEmpty) await eraseEntries(shard, state, erasure);
      entries += erasure.entries;
      if (page.length < ERASE_PAGE) break;
      after = page.at(-1)!.seq;
    }
    if (entries === 0) return;
    this.#hasErased = true;
    this.#note(log.shard, address, `${entries} of its entries had been erased and came back; they are erased again`);
  }

  /** @returns whether content of the user may be where erased entries came back */
  async #eraseUser(name: UserId): Promise<boolean> {
    const home = this.#host.home(name);
    const user = home.users.get(name);
    if (user === undefined) return false;
    const isMeant = (address: Address): boolean => this.#losses.mayShowErased(shardOf(address));
    if (![user.address, ...user.conversations.keys()].some(isMeant)) return false;
    try {
      await reopenErasure(user, (group, at) => (isMeant(group) ? this.#lastPost(name, group, at) : 0));
      const tidy = (): Promise<void> => this.#host.store.eraseNow().catch(unlessKept);
      await eraseRequested(home, name, { isStopped, tidy });
    } catch (error) {
      // The request stays unfinished. The server continues it when the other shards are repaired.
      if (!isDamage(error)) throw error;
      return false;
    }
    this.#note(user.log.shard, user.address, "had asked for an erasure; it was done again");
    return true;
  }

  /**
   * The last post that the request covered. Its position in the group is lost, so the times of messages decide. @param
   * at time of the request, Unix ms
   */
  #lastPost(author: UserId, group: GroupAddress, at: number): Seq {
    const { log } = this.#host.ownerOf(group);
    let last = 0 as Seq;
    for (let after = last; ;) {
      const page = log.readLaneForward(group, POSTED_LANE, after, ERASE_PAGE);
      for (const stored of page) {
        const entry = readGroupEntry(stored);
        if (entry.kind === "posted" && entry.author === author && entry.sentAt <= at) last = stored.seq;
      }
      if (page.length < ERASE_PAGE) return last;
      after = page.at(-1)!.seq;
    }
  }

  #note(shard: ShardId, stream: Address, what: string): void {
    this.notes.push({ shard, stream, kind: "erased", what });
  }
}

/** Damaged parts of the log stay for shards that stay closed. The next repair removes them. */
function unlessKept(error: unknown): void {
  if ((error as { code?: string }).code !== KEPT_FOR_DAMAGED) throw error;
}

/** Entries of a page that had been erased, by the three proofs above. */
function provenIn(state: UserState | GroupState, page: readonly StoredEntry[]): Erasure {
  const erasure = new Erasure();
  const kept = retainedFrom(state.log, state.address);
  for (const stored of page) {
    if (stored.payload.length === 0) continue;
    if (state instanceof GroupState) {
      const entry = readGroupEntry(stored);
      if (stored.seq > kept || entry.kind !== "posted") continue;
      erasure.add(stored.seq, stored.lane, false);
      erasure.posted(entry);
    } else addProven(erasure, state, stored, kept);
  }
  return erasure;
}

function addProven(erasure: Erasure, user: UserState, stored: StoredEntry, kept: Seq): void {
  const { seq, lane, key } = stored;
  const entry = readTimelineEntry(stored);
  if (entry.kind === "sent") {
    const isErased = seq <= kept || user.log.findKey(user.address, erasedKey(key)) !== undefined;
    if (!isErased) return;
    erasure.add(seq, lane, false, key);
    erasure.sent(entry);
  } else if (entry.kind === "taken") {
    const conversation = user.conversation(lane as Address);
    if (seq > kept && seq > conversation.goneSeq) return;
    erasure.add(seq, lane, false);
    erasure.fromPeer(conversation, seq, entry);
  }
}
