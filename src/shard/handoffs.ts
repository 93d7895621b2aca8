/**
 * Handoffs that a crash may have cut off (G8).
 *
 * The outbox is not a queue beside the log: it is every entry above the shard's `handedOffThrough` mark that concerns somebody else: a timeline, or the refs of
 * who posted it. At start they are offered again, in order; who has taken them already ignores them. While all shards are on one node a handoff follows
 * the entry that caused it in the same log, so the mark may simply be the log's end whenever it is written.
 */
import type { Logger } from "../base/logger.ts";
import { atOnce, type Steps } from "../base/steps.ts";
import { isGroup, nameOf, type Address, type GroupAddress, type UserAddress, type UserId } from "../domain/address.ts";
import {
  readGroupEntry,
  readTimelineEntry,
  refOfPostedKey,
  type GroupChangeDetail,
  type MembershipEntry,
} from "../domain/entries.ts";
import { jsonString } from "../protocol/encode.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Offset, Seq, StoredEntry } from "../../storage/types.ts";
import { cellNumber, isShardStream, SHARD_STREAM } from "./cells.ts";
import { unlessDamaged } from "./damage.ts";
import { writeRecord } from "./durable.ts";
import type { GroupState } from "./group-state.ts";
import { joinedBy, leftBy, takeMembership } from "./group-changes.ts";
import { noteMissingRef } from "./post-group.ts";
import { take } from "./send-direct.ts";
import type { Shards } from "./shards.ts";

const MARK = "handedOffThrough";
const PAGE = 1000;

/**
 * Offers again what stands above the mark. Before anything new of the shard is handed over. Whoever lives in a damaged
 * shard is left out: what was handed over to them stands in the same frame of the log, which is kept.
 * @returns how many were offered
 */
export function offerAgain(host: Shards, log: ShardLog): number {
  const mark = cellNumber(log.cell(SHARD_STREAM, MARK)) as Offset;
  let offered = 0;
  for (const { stream, fromSeq } of log.streamsSince(mark)) {
    if (isShardStream(stream)) continue;
    offered += isGroup(stream as Address)
      ? offerFromGroup(host, log, stream as GroupAddress, fromSeq)
      : offerSends(host, log, stream as UserAddress, fromSeq);
  }
  return offered;
}

/** After a repair the log may end before the mark: what comes next would count as handed over. */
export async function mendMark(log: ShardLog): Promise<void> {
  if (cellNumber(log.cell(SHARD_STREAM, MARK)) <= log.durableThrough) return;
  const handle = new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));
  await writeRecord(log, () => log.putNumbers(handle, MARK, log.durableThrough));
}

/** Writes the marks of the shards that changed since it last did, so that a start after a crash offers little again. */
export class HandoffMarks {
  readonly #written = new WeakMap<ShardLog, Offset>();
  readonly #logger: Logger;
  /** Where the stream of a shard stands has to be looked up in its files: once. */
  readonly #handles = new WeakMap<ShardLog, StreamHandle>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  write(logs: Iterable<ShardLog>): void {
    atOnce(this.steps(logs, () => false));
  }

  /**
   * The same with a step for each shard that changed: there may be a thousand. A shard whose mark cannot be written is
   * offered more at the next start, and keeps no other from its mark.
   * @param isOver whether no mark may be written any more
   */
  *steps(logs: Iterable<ShardLog>, isOver: () => boolean): Steps<void> {
    for (const log of logs) {
      if (isOver()) return;
      try {
        if (log.memtable.isEmpty || log.durableThrough === this.#written.get(log)) continue;
        this.#append(log, this.#handleOf(log));
      } catch (error) {
        this.#logger.error("a handoff mark could not be written", { shard: log.shard, error });
      }
      yield;
    }
  }

  #append(log: ShardLog, handle: StreamHandle): void {
    log.append({
      encode: () => log.putNumbers(handle, MARK, log.durableThrough),
      committed: () => void this.#written.set(log, log.durableThrough),
      failed: () => {},
    });
  }

  #handleOf(log: ShardLog): StreamHandle {
    let handle = this.#handles.get(log);
    if (handle === undefined) this.#handles.set(log, (handle = new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM))));
    return handle;
  }
}

function* entriesFrom(log: ShardLog, stream: string, fromSeq: Seq): Iterable<StoredEntry> {
  for (let after = (fromSeq - 1) as Seq; ;) {
    const page = log.readForward(stream, after, PAGE);
    yield* page;
    if (page.length < PAGE) return;
    after = page[page.length - 1]!.seq;
  }
}

function offerSends(host: Shards, log: ShardLog, sender: UserAddress, fromSeq: Seq): number {
  let offered = 0;
  const streamNo = log.head(sender)!.streamNo;
  for (const stored of entriesFrom(log, sender, fromSeq)) {
    const entry = readTimelineEntry(stored);
    const to = stored.lane as Address;
    // What was erased is handed over no more; whether it was, the receiver's cells know.
    if (entry.kind !== "sent" || to === sender) continue;
    const receiver = unlessDamaged(() => host.userAt(to));
    if (receiver === undefined) continue;
    const id = host.ids.encode(log.shard, streamNo, stored.seq);
    const { sentAt, text } = entry;
    take(
      receiver,
      { id, sentAt, rank: host.ranks.direct(host.clock.now()), text, textJson: jsonString(text) },
      sender,
      nameOf(sender) as UserId,
      stored.seq,
      streamNo,
    );
    offered++;
  }
  return offered;
}

/** Memberships, and the refs of what was posted: without them a ref would be new again wherever else it is used, and here once its message is erased. */
function offerFromGroup(host: Shards, log: ShardLog, address: GroupAddress, fromSeq: Seq): number {
  const group = host.groups.get(address);
  let offered = 0;
  for (const stored of entriesFrom(log, address, fromSeq)) {
    const entry = readGroupEntry(stored);
    if (entry.kind === "erased" || group === undefined) continue;
    if (entry.kind === "posted") {
      const author = unlessDamaged(() => host.users.get(entry.author));
      if (author !== undefined && noteMissingRef(author, address, refOfPostedKey(stored.key), stored.seq)) offered++;
      continue;
    }
    const { detail } = entry;
    for (const user of joinedBy(detail)) offer(host, user, "joined", group, stored.seq, detail);
    for (const user of leftBy(detail)) offer(host, user, "left", group, stored.seq, detail);
    offered++;
  }
  return offered;
}

function offer(
  host: Shards,
  user: UserId,
  change: MembershipEntry["change"],
  { address, epoch, bornSeq }: GroupState,
  seq: Seq,
  detail: GroupChangeDetail,
): void {
  const state = unlessDamaged(() => host.users.get(user));
  if (state !== undefined) takeMembership(state, change, address, seq, detail, seq < bornSeq ? "" : epoch);
}
