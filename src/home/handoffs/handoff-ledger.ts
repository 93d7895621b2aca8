/**
 * Which handoffs of a shard are not confirmed yet, in the order of its log. A window, not a queue: handoffs that it
 * forgets are in the log, and are offered again from there (handoffs.ts).
 *
 * Invariant: every record with an unconfirmed handoff is here, or at or above `#unknownFrom`.
 */
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Address } from "../../domain/address.ts";
import type { Offset, Seq } from "../../../storage/types.ts";
import { cellNumber, SHARD_STREAM } from "../state/cells.ts";

export const HANDED_OFF_THROUGH = "handedOffThrough";

/** A record that concerns other shards. `isConfirmed`: all of them have it, durably. */
export type Handed = {
  readonly offset: Offset;
  /** Where the record stands in the log. */
  readonly stream: Address;
  readonly seq: Seq;
  readonly isConfirmed: boolean;
};

/**
 * What is to be offered again: the `known` records, and every record of the log behind `unknownAfter`; undefined: none.
 */
export type Unconfirmed = { readonly known: readonly Handed[]; readonly unknownAfter: Offset | undefined };

const HELD_MAX = 10_000;

export class HandoffLedger {
  #open: Handed[] = [];
  #from = 0;
  /** Of the records from here on that were durable at the time, some are not here. */
  #unknownFrom: Offset | undefined;
  /** The newest record that was forgotten. It may not have been durable. */
  #forgottenThrough = 0 as Offset;
  /** End of the log when the offer began. */
  #offerEnd = 0 as Offset;
  #isOffering = false;

  constructor(through: Offset, durableThrough: Offset) {
    this.begin(through, durableThrough);
  }

  /** The log says that nothing is left to hand over through this offset. What follows is unknown. */
  begin(through: Offset, durableThrough: Offset): void {
    this.#unknownFrom = through < durableThrough ? ((through + 1) as Offset) : undefined;
  }

  get isEmpty(): boolean {
    return this.oldest === undefined && this.#unknownFrom === undefined;
  }

  get isOffering(): boolean {
    return this.#isOffering;
  }

  /** The oldest unconfirmed record here. */
  get oldest(): Handed | undefined {
    this.#shift();
    return this.#open[this.#from];
  }

  add(handed: Handed): void {
    const open = this.#open;
    // Usually the record before is confirmed, and its slot is reused.
    if (open.length === 1 && open[0]!.isConfirmed) {
      open[0] = handed;
      this.#from = 0;
      return;
    }
    this.#shift();
    if (this.#open.length - this.#from >= HELD_MAX) this.#forget();
    this.#open.push(handed);
  }

  /** Nothing is left to hand over through this offset. @param durableThrough of the log */
  through(durableThrough: Offset): Offset {
    let through = durableThrough;
    const { oldest } = this;
    if (oldest !== undefined && oldest.offset <= through) through = (oldest.offset - 1) as Offset;
    if (this.#unknownFrom !== undefined && this.#unknownFrom <= through) through = (this.#unknownFrom - 1) as Offset;
    return through;
  }

  /** Everything durable and unconfirmed is about to be offered again, and added anew. */
  beginOffer(durableThrough: Offset): Unconfirmed {
    const through = this.through(durableThrough);
    const from = this.#unknownFrom;
    const unknownFrom = from !== undefined && from <= durableThrough ? from : undefined;
    const open = this.#open.slice(this.#from);
    const isKnown = ({ offset, isConfirmed }: Handed): boolean =>
      !isConfirmed && offset <= durableThrough && (unknownFrom === undefined || offset < unknownFrom);
    this.#open = open.filter(({ offset }) => offset > durableThrough);
    this.#from = 0;
    this.#offerEnd = durableThrough;
    this.#unknownFrom = through < durableThrough ? ((through + 1) as Offset) : undefined;
    this.#isOffering = true;
    const unknownAfter = unknownFrom === undefined ? undefined : ((unknownFrom - 1) as Offset);
    return { known: open.filter(isKnown), unknownAfter };
  }

  /** All of it was offered and added. */
  endOffer(): void {
    this.#isOffering = false;
    // Offers were added behind records that were appended meanwhile.
    this.#open = this.#open.slice(this.#from).sort((a, b) => a.offset - b.offset);
    this.#from = 0;
    if (this.#hasForgotten) this.#hasForgotten = false;
    else this.#unknownFrom = this.#forgottenBehind(this.#offerEnd);
  }

  /** Records that were forgotten before they were durable: the offer has not found them in the log. */
  #forgottenBehind(end: Offset): Offset | undefined {
    return this.#forgottenThrough > end ? ((end + 1) as Offset) : undefined;
  }

  /** Some records could not be read: they are offered another time. */
  giveUpOffer(): void {
    this.#isOffering = false;
    this.#hasForgotten = false;
  }

  #hasForgotten = false;

  #shift(): void {
    const open = this.#open;
    while (this.#from < open.length && open[this.#from]!.isConfirmed) this.#from++;
    if (this.#from === open.length) {
      while (open.length > 0) open.pop();
      this.#from = 0;
    } else if (this.#from >= HELD_MAX) {
      this.#open = open.slice(this.#from);
      this.#from = 0;
    }
  }

  /** A receiver has been away for long: drops confirmed records, and if those are few, all records. */
  #forget(): void {
    this.#open = this.#open.slice(this.#from).filter(({ isConfirmed }) => !isConfirmed);
    this.#from = 0;
    const oldest = this.#open[0];
    if (oldest === undefined || this.#open.length < HELD_MAX / 2) return;
    if (this.#unknownFrom === undefined || oldest.offset < this.#unknownFrom) this.#unknownFrom = oldest.offset;
    this.#hasForgotten = this.#isOffering;
    for (const { offset } of this.#open) if (offset > this.#forgottenThrough) this.#forgottenThrough = offset;
    this.#open = [];
  }
}

/** Nothing is left to hand over through this offset, according to the log. */
export const handedOffThrough = (log: ShardLog): Offset =>
  cellNumber(log.cell(SHARD_STREAM, HANDED_OFF_THROUGH)) as Offset;

/** The ledger of a log right after a start. */
export const ledgerOf = (log: ShardLog): HandoffLedger => new HandoffLedger(handedOffThrough(log), log.durableThrough);
