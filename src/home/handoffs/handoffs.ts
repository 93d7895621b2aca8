/**
 * Offers handoffs that were not confirmed again, from the log (G8).
 *
 * There is no queue beside the log: every entry above the shard's cell `handedOffThrough` that concerns another user or
 * group is to be handed over. The cell rises only over confirmed handoffs. After a start, and whenever a receiver has
 * not confirmed, the entries above it are read and offered again. Receivers ignore what they have.
 */
import type { Logger } from "../../base/logger.ts";
import { atOnce, type Steps } from "../../base/steps.ts";
import { isGroup, type Address, type GroupAddress } from "../../domain/address.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Offset, Seq, StoredEntry } from "../../../storage/types.ts";
import { isShardStream, SHARD_STREAM } from "../state/cells.ts";
import { writeRecord } from "../durable.ts";
import { HANDED_OFF_THROUGH, handedOffThrough, type Handed } from "./handoff-ledger.ts";
import { GroupOffers } from "./offer-group.ts";
import { MessageOffers } from "./offer-messages.ts";
import type { Shard } from "../shard.ts";

const PAGE = 200;

/**
 * Offers everything durable that is not known to be confirmed, a few entries a step. One run at a time per shard.
 * @returns how many were offered
 */
export function* offerAgain(shard: Shard): Steps<number> {
  const { ledger, log } = shard;
  if (ledger.isEmpty || ledger.isOffering) return 0;
  const end = log.durableThrough;
  const { known, unknownAfter } = ledger.beginOffer(end);
  const offers = new StreamOffers(shard);
  let offered = 0;
  try {
    offered += yield* offerKnown(shard, offers, known);
    if (unknownAfter !== undefined) offered += yield* offerUnknown(shard, offers, unknownAfter, end);
    ledger.endOffer();
  } catch (error) {
    ledger.giveUpOffer();
    throw error;
  }
  return offered;
}

/** Unconfirmed entries only, for each stream in the order of the log. */
function* offerKnown({ log }: Shard, offers: StreamOffers, known: readonly Handed[]): Steps<number> {
  let offered = 0;
  for (const { stream, seq } of known) {
    const [stored] = log.readForward(stream, (seq - 1) as Seq, 1);
    if (stored !== undefined && stored.seq === seq) offered += yield* offers.offer(stream, stored);
    yield;
  }
  return offered;
}

function* offerUnknown(shard: Shard, offers: StreamOffers, after: Offset, end: Offset): Steps<number> {
  let offered = 0;
  for (const { stream, fromSeq } of shard.log.streamsSince(after)) {
    if (!isShardStream(stream)) offered += yield* offerStream(shard, offers, stream as Address, fromSeq, after, end);
  }
  return offered;
}

function* offerStream(
  shard: Shard,
  offers: StreamOffers,
  stream: Address,
  fromSeq: Seq,
  after: Offset,
  end: Offset,
): Steps<number> {
  let offered = 0;
  for (let from = (fromSeq - 1) as Seq; ;) {
    const page = shard.log.readForward(stream, from, PAGE);
    for (const stored of page) {
      if (stored.offset > end) return offered;
      if (stored.offset <= after) continue;
      offered += yield* offers.offer(stream, stored);
    }
    const last = page[PAGE - 1];
    if (last === undefined) return offered;
    from = last.seq;
    yield;
  }
}

/** One run, over all streams. */
class StreamOffers {
  readonly #shard: Shard;
  readonly #messages = new Map<Address, MessageOffers>();
  readonly #groups = new Map<Address, GroupOffers>();

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /** Entries of a stream come in their order. @returns how many were offered */
  *offer(stream: Address, stored: StoredEntry): Steps<number> {
    if (isGroup(stream)) return yield* this.#ofGroup(stream).offer(stored);
    let messages = this.#messages.get(stream);
    if (messages === undefined) this.#messages.set(stream, (messages = new MessageOffers(this.#shard, stream)));
    return messages.offer(stored);
  }

  #ofGroup(group: GroupAddress): GroupOffers {
    let offers = this.#groups.get(group);
    if (offers === undefined) this.#groups.set(group, (offers = new GroupOffers(this.#shard, group)));
    return offers;
  }
}

/** Flushed entries may have been confirmed later. The cell `handedOffThrough` is no entry. */
const hasEntriesAbove = (log: ShardLog, through: Offset): boolean =>
  log.streamsSince(through).some(({ stream }) => !isShardStream(stream));

/** After a repair the log may end below `handedOffThrough`: then the next entries would count as handed over. */
export async function mendHandedOff(log: ShardLog): Promise<void> {
  if (handedOffThrough(log) <= log.durableThrough) return;
  const handle = new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM));
  await writeRecord(log, () => log.putNumbers(handle, HANDED_OFF_THROUGH, log.durableThrough));
}

/**
 * Writes `handedOffThrough` of the shards that changed since the last write, so that a start after a crash offers
 * little again.
 */
export class HandoffProgress {
  readonly #written = new WeakMap<ShardLog, Offset>();
  readonly #logger: Logger;
  /** Looking up a shard's stream reads files: done once. */
  readonly #handles = new WeakMap<ShardLog, StreamHandle>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  write(shards: Iterable<Shard>): void {
    atOnce(this.steps(shards, () => false));
  }

  /**
   * The same with a step for each shard that changed: there may be a thousand. A shard whose cell cannot be written
   * offers more at the next start; the others are still written.
   * @param isOver whether nothing may be written any more
   */
  *steps(shards: Iterable<Shard>, isOver: () => boolean): Steps<void> {
    for (const shard of shards) {
      if (isOver()) return;
      try {
        if (!this.#append(shard)) continue;
      } catch (error) {
        this.#logger.error("the handoff progress of a shard could not be written", { shard: shard.id, error });
      }
      yield;
    }
  }

  /** @returns false if there is nothing to note */
  #append({ log, ledger }: Shard): boolean {
    const through = ledger.through(log.durableThrough);
    if (through === this.#written.get(log) || log.failure !== undefined) return false;
    if (log.memtable.isEmpty && !hasEntriesAbove(log, handedOffThrough(log))) {
      this.#written.set(log, through);
      return false;
    }
    const handle = this.#handleOf(log);
    // The cell itself is a record, which hands nothing over.
    const written = through === log.nextOffset - 1 ? log.nextOffset : through;
    log.append({
      encode: () => log.putNumbers(handle, HANDED_OFF_THROUGH, through),
      committed: () => void this.#written.set(log, written),
      failed: () => {},
    });
    return true;
  }

  #handleOf(log: ShardLog): StreamHandle {
    let handle = this.#handles.get(log);
    if (handle === undefined) this.#handles.set(log, (handle = new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM))));
    return handle;
  }
}
