/**
 * Marks that the peer's shard did not confirm in time, noted in the shard's own stream as `untold/USER/CONV`. They are
 * offered until they are confirmed, also after a start, and then cleared. Usually there are none.
 */
import type { Seq } from "../../../storage/types.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { encodeCell, SHARD_STREAM } from "../state/cells.ts";
import type { MarkOffer } from "../handoffs/mark-offer.ts";
import type { Shard } from "../shard.ts";
import { readSaid, together, UntoldMark, type Said } from "./untold-mark.ts";

const PREFIX = "untold/";
/** Further ones stay in the log, and are read again when these are done. */
const HELD_MAX = 10_000;

export class UntoldMarks {
  readonly #shard: Shard;
  readonly #isStopped: () => boolean;
  readonly #held = new Map<string, UntoldMark>();
  /** Whether there are some that are not held. */
  #isMore = false;
  /** Notes on their way to the log: until they are durable, reads do not see them. */
  #writing = 0;
  #handle: StreamHandle | undefined;

  constructor(shard: Shard, isStopped: () => boolean) {
    this.#shard = shard;
    this.#isStopped = isStopped;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0 && !this.#isMore;
  }

  /** Reads the notes from the log: after a start, and when not all were held. */
  load(): void {
    this.#isMore = false;
    for (const [key, cell] of this.#shard.log.cells(SHARD_STREAM)) {
      if (!key.startsWith(PREFIX) || this.#held.has(key)) continue;
      this.#hold(key, readSaid(cell));
    }
  }

  /** Notes the offer's marks, merged with an earlier note. @throws what the log throws; then nothing was noted */
  note(offer: MarkOffer): void {
    const key = keyOf(offer);
    const { delivered, read, epoch } = offer;
    const said = together(this.#held.get(key) ?? this.#read(key), { delivered, read, epoch });
    this.#write(key, encodeCell(said.delivered, said.read, said.epoch), offer);
    this.#hold(key, said);
  }

  /** The peer's shard has confirmed a later offer, which may cover the note. */
  confirmed(offer: MarkOffer, through: Seq, read: Seq): void {
    const key = keyOf(offer);
    const held = this.#held.get(key);
    if (held !== undefined && held.epoch === offer.epoch) held.confirmed(through, read);
  }

  /** Offers the marks that are due. */
  offer(nowMs: number): void {
    for (const mark of this.#held.values()) mark.offer(nowMs);
    if (this.#isMore && this.#writing === 0 && this.#held.size < HELD_MAX / 2) this.load();
  }

  /** The whole mark was told. */
  #clear(key: string, mark: UntoldMark): void {
    if (this.#isStopped() || this.#held.get(key) !== mark) return;
    try {
      this.#write(key, null);
      this.#held.delete(key);
    } catch (error) {
      // It is offered again, and the peer's shard confirms it again.
      this.#shard.logger.warn("a mark that was told stays noted", { error });
    }
  }

  forget(): void {
    this.#held.clear();
    this.#isMore = false;
  }

  #hold(key: string, said: Said): void {
    const held = this.#held.get(key);
    if (held !== undefined) held.raise(said);
    else if (this.#held.size >= HELD_MAX) this.#isMore = true;
    else
      this.#held.set(
        key,
        new UntoldMark(this.#shard, key.slice(PREFIX.length), said, (mark) => this.#clear(key, mark)),
      );
  }

  #read(key: string): Said | undefined {
    const cell = this.#isMore ? this.#shard.log.cell(SHARD_STREAM, key) : undefined;
    return cell && readSaid(cell);
  }

  /** @param offer its owner stays in memory until then, so that later offers include this note */
  #write(key: string, value: Uint8Array | null, offer?: MarkOffer): void {
    const { log } = this.#shard;
    const handle = (this.#handle ??= new StreamHandle(SHARD_STREAM, log.head(SHARD_STREAM)));
    const owner = offer?.owner;
    const committed = (): void => {
      this.#writing--;
      if (owner !== undefined) owner.pendingMarks--;
    };
    log.append({ encode: () => log.putCell(handle, key, value), committed, failed: () => {} });
    this.#writing++;
    if (owner !== undefined) owner.pendingMarks++;
  }
}

const keyOf = ({ owner, conversation }: MarkOffer): string => `${PREFIX}${owner.address}/${conversation.address}`;
