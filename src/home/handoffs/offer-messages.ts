/** Offers direct messages of one timeline again, from the log. */
import { nameOf, shardOf, type Address, type UserAddress, type UserId } from "../../domain/address.ts";
import { readTimelineEntry } from "../../domain/entries.ts";
import { jsonString } from "../../protocol/encode.ts";
import type { Offset, Seq, StoredEntry } from "../../../storage/types.ts";
import type { Handed } from "./handoff-ledger.ts";
import type { HandoffOutcome, MessageHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";

export class MessageOffers {
  readonly #shard: Shard;
  readonly #from: UserAddress;
  readonly #streamNo: number;
  /**
   * Per conversation, the last message that was offered. Earlier messages that are not offered are confirmed or erased.
   */
  readonly #prev = new Map<Address, Seq>();

  constructor(shard: Shard, from: UserAddress) {
    this.#shard = shard;
    this.#from = from;
    this.#streamNo = shard.log.head(from)?.streamNo ?? 0;
  }

  /** Entries come in their order. Erased messages are not handed over any more. @returns how many were offered */
  offer(stored: StoredEntry): number {
    const entry = readTimelineEntry(stored);
    const to = stored.lane as Address;
    if (entry.kind !== "sent" || to === this.#from) return 0;
    const { seq, offset } = stored;
    const prev = this.#prev.get(to) ?? (0 as Seq);
    this.#prev.set(to, seq);
    const { sentAt, rank, text } = entry;
    const place = { from: this.#from, to: to as UserAddress, seq, prev, streamNo: this.#streamNo };
    const offer = new MessageOffer(this.#shard, { ...place, sentAt, rank, text }, offset);
    this.#shard.ledger.add(offer.held);
    offer.handOff();
    return 1;
  }
}

/** What the ledger holds while a receiver is away. Without the text. */
type Held = Handed & { isConfirmed: boolean };

class MessageOffer implements MessageHandoff, HandoffOutcome {
  readonly kind = "message";
  readonly #shard: Shard;
  readonly from: UserAddress;
  readonly to: UserAddress;
  readonly seq: Seq;
  readonly prev: Seq;
  readonly streamNo: number;
  readonly sentAt: number;
  readonly rank: number;
  readonly text: string;
  readonly held: Held;

  constructor(shard: Shard, message: Omit<MessageHandoff, "kind" | "receiver" | "id" | "textJson">, offset: Offset) {
    this.#shard = shard;
    this.from = message.from;
    this.to = message.to;
    this.seq = message.seq;
    this.prev = message.prev;
    this.streamNo = message.streamNo;
    this.sentAt = message.sentAt;
    this.rank = message.rank;
    this.text = message.text;
    this.held = { offset, stream: message.from, seq: message.seq, isConfirmed: false };
  }

  get receiver(): UserId {
    return nameOf(this.to) as UserId;
  }

  get id(): string {
    return this.#shard.ids.encode(this.#shard.id, this.streamNo, this.seq);
  }

  get textJson(): string {
    return jsonString(this.text);
  }

  handOff(): void {
    try {
      this.#shard.router.handOff(shardOf(this.to), this, this);
    } catch (error) {
      this.notTaken(error);
    }
  }

  confirmed(through: Seq): void {
    if (through >= this.seq) this.held.isConfirmed = true;
  }

  missing(): void {
    this.#shard.offerSoon();
  }

  notTaken(_error: unknown): void {
    this.#shard.offerSoon();
  }
}
