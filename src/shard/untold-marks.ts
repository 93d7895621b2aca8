/**
 * Marks that the other side's shard did not confirm in time, noted in the shard's own stream as `untold/USER/CONV`. They are offered until they are confirmed, also after a
 * start, and then cleared. As a rule there are none.
 */
import { isGroup, nameOf, shardOf, type Address, type UserAddress, type UserId } from "../domain/address.ts";
import type { Seq } from "../../storage/types.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import { CellReader, encodeCell, SHARD_STREAM } from "./cells.ts";
import type { MarkOffer } from "./mark-offer.ts";
import type { Handoff, HandoffOutcome } from "./messages/handoff.ts";
import type { Shard } from "./shard.ts";

const PREFIX = "untold/";
/** More stay in the log, and are read again when these are done. */
const HELD_MAX = 10_000;
const AGAIN_MS = 1000;
const AGAIN_MS_MAX = 30_000;

type Said = { readonly delivered: Seq; readonly read: Seq; readonly epoch: string };

export class UntoldMarks {
  readonly #shard: Shard;
  readonly #isStopped: () => boolean;
  readonly #held = new Map<string, UntoldMark>();
  /** There are some that are not held. */
  #isMore = false;
  /** Notes on their way to the log: what can be read is not the newest. */
  #writing = 0;
  #handle: StreamHandle | undefined;

  constructor(shard: Shard, isStopped: () => boolean) {
    this.#shard = shard;
    this.#isStopped = isStopped;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0 && !this.#isMore;
  }

  /** As the log has them: after a start, and where not all were held. */
  load(): void {
    this.#isMore = false;
    for (const [key, cell] of this.#shard.log.cells(SHARD_STREAM)) {
      if (!key.startsWith(PREFIX) || this.#held.has(key)) continue;
      this.#hold(key, readSaid(cell));
    }
  }

  /** Together with what was noted before. @throws what the log throws; then nothing was noted */
  note(offer: MarkOffer): void {
    const key = keyOf(offer);
    const said = together(this.#held.get(key) ?? this.#read(key), saidBy(offer));
    this.#write(key, encodeCell(said.delivered, said.read, said.epoch), offer);
    this.#hold(key, said);
  }

  /** The other side's shard has what a later offer said, which may be all of it. */
  confirmed(offer: MarkOffer, through: Seq, read: Seq): void {
    const key = keyOf(offer);
    const held = this.#held.get(key);
    if (held !== undefined && held.epoch === saidBy(offer).epoch) held.confirmed(through, read);
  }

  /** Those whose time has come. */
  offer(nowMs: number): void {
    for (const mark of this.#held.values()) mark.offer(nowMs);
    if (this.#isMore && this.#writing === 0 && this.#held.size < HELD_MAX / 2) this.load();
  }

  /** All of it was told. */
  clear(mark: UntoldMark): void {
    if (this.#isStopped() || this.#held.get(mark.key) !== mark) return;
    try {
      this.#write(mark.key, null);
      this.#held.delete(mark.key);
    } catch (error) {
      // It is offered again, and the other side's shard has it.
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
    else this.#held.set(key, new UntoldMark(this, this.#shard, key, said));
  }

  #read(key: string): Said | undefined {
    const cell = this.#isMore ? this.#shard.log.cell(SHARD_STREAM, key) : undefined;
    return cell && readSaid(cell);
  }

  /** @param offer whose owner stays in memory meanwhile, so that what is said next says this as well */
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

class UntoldMark implements HandoffOutcome {
  readonly #all: UntoldMarks;
  readonly #shard: Shard;
  readonly key: string;
  #said: Said;
  #waitMs = AGAIN_MS / 2;
  #dueMs = Number.NEGATIVE_INFINITY;

  constructor(all: UntoldMarks, shard: Shard, key: string, said: Said) {
    this.#all = all;
    this.#shard = shard;
    this.key = key;
    this.#said = said;
  }

  get delivered(): Seq {
    return this.#said.delivered;
  }

  get read(): Seq {
    return this.#said.read;
  }

  get epoch(): string {
    return this.#said.epoch;
  }

  raise(said: Said): void {
    this.#said = together(this.#said, said);
  }

  offer(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#waitMs = Math.min(AGAIN_MS_MAX, this.#waitMs * 2);
    this.#dueMs = nowMs + this.#waitMs;
    const handoff = handoffOf(this.key, this.#said);
    try {
      this.#shard.router.handOff(shardOf(receiverOf(handoff)), handoff, this);
    } catch {
      // It is offered again.
    }
  }

  confirmed(through: Seq, read: Seq = 0 as Seq): void {
    if (through >= this.delivered && read >= this.read) this.#all.clear(this);
  }

  missing(): void {}

  notTaken(): void {}
}

const saidBy = (offer: MarkOffer): Said => ({
  delivered: offer.delivered,
  read: offer.read,
  epoch: offer.kind === "memberMark" ? offer.epoch : "",
});

const keyOf = ({ owner, conversation }: MarkOffer): string => `${PREFIX}${owner.address}/${conversation.address}`;

/** Of a former life of a group nothing counts. */
function together(before: Said | undefined, said: Said): Said {
  if (before === undefined || before.epoch !== said.epoch) return said;
  const delivered = Math.max(before.delivered, said.delivered) as Seq;
  return { delivered, read: Math.max(before.read, said.read) as Seq, epoch: said.epoch };
}

function readSaid(cell: Uint8Array): Said {
  const fields = new CellReader(cell);
  return { delivered: fields.number() as Seq, read: fields.number() as Seq, epoch: fields.text() };
}

function handoffOf(key: string, { delivered, read, epoch }: Said): Handoff {
  const [user, conversation] = key.slice(PREFIX.length).split("/") as [UserAddress, Address];
  if (isGroup(conversation))
    return {
      kind: "memberMark",
      user: nameOf(user) as UserId,
      group: conversation,
      epoch,
      delivered,
      read,
    };
  return { kind: "peerMark", from: user, to: conversation, delivered, read };
}

const receiverOf = (handoff: Handoff): Address =>
  handoff.kind === "peerMark" ? handoff.to : (handoff as { group: Address }).group;
