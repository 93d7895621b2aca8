/**
 * Epochs and heads of a shard's groups, without folding them: a member who connects needs the head of each group, but
 * not its members and marks.
 *
 * `of` returns the durable head at the time of the call. A loaded group knows its head. The head of any other group is
 * read from the log once, and updated from the memtables after that: a group that they do not have is unchanged, unless
 * a flush has emptied them, which `flushes` counts.
 *
 * Epoch and beginning of a group change when it is created anew: the code that creates it calls `forget`.
 */
import type { GroupAddress } from "../../domain/address.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import type { Seq, StreamHead } from "../../../storage/types.ts";
import { cellNumber, cellText } from "../state/cells.ts";
import { unlessDamaged } from "../damage.ts";
import { bornSeqOf } from "../fold/group-cells.ts";
import type { GroupState } from "../state/group-state.ts";
import type { States } from "../state/state-table.ts";

/** Per shard; a node may have a thousand shards. */
const KNOWN_MAX = 64;

/** A group as the homes of its members see it. */
export type Standing = {
  readonly address: GroupAddress;
  /** Of its present life. */
  readonly epoch: string;
  /** Where its present life begins. */
  readonly bornSeq: Seq;
  readonly headSeq: Seq;
};

export type GroupHead = Standing & {
  readonly log: ShardLog;
  readonly handle: { readonly streamNo: number };
  /** When something of the log was erased last; 0: never. */
  readonly erasedAt: number;
};

export class GroupHeads {
  readonly #groups: Pick<States<GroupAddress, GroupState>, "peek">;
  readonly #logOf: (address: GroupAddress) => ShardLog;
  /** In the order in which they were read. */
  readonly #known = new Map<GroupAddress, KnownHead>();

  constructor(groups: Pick<States<GroupAddress, GroupState>, "peek">, logOf: (address: GroupAddress) => ShardLog) {
    this.#groups = groups;
    this.#logOf = logOf;
  }

  /** The head, for this turn of the event loop; undefined if there is no such group, or its data is damaged. */
  of(address: GroupAddress): GroupHead | undefined {
    const group = this.#groups.peek(address);
    if (group !== undefined) return group;
    const known = this.#known.get(address);
    return known?.update() === true ? known : this.#read(address);
  }

  /** Whether `of` reads no file in this turn of the event loop. */
  isAtHand(address: GroupAddress): boolean {
    return this.#groups.peek(address) !== undefined || this.#known.get(address)?.update() === true;
  }

  /** A damaged group counts as absent, so that its members get everything else. */
  #read(address: GroupAddress): KnownHead | undefined {
    return unlessDamaged(() => this.#readFrom(address));
  }

  #readFrom(address: GroupAddress): KnownHead | undefined {
    const log = this.#logOf(address);
    const { flushes } = log;
    const found = log.snapshot(address);
    const epoch = found?.cell("epoch");
    if (found === undefined || epoch === undefined) return undefined;
    const known = new KnownHead(address, log, cellText(epoch), bornSeqOf(found), found.head, flushes);
    this.forget(address);
    this.#known.set(address, known);
    if (this.#known.size > KNOWN_MAX) this.#forgetOldest();
    return known;
  }

  /** Called when another life of the group begins. */
  forget(address: GroupAddress): void {
    this.#known.delete(address);
  }

  #forgetOldest(): void {
    for (const address of this.#known.keys()) return void this.#known.delete(address);
  }
}

class KnownHead implements GroupHead {
  readonly address: GroupAddress;
  readonly log: ShardLog;
  readonly epoch: string;
  readonly bornSeq: Seq;
  readonly handle: { readonly streamNo: number };
  headSeq: Seq;
  /** `flushes` of the shard when the head was right. */
  #flushes: number;

  constructor(
    address: GroupAddress,
    log: ShardLog,
    epoch: string,
    bornSeq: Seq,
    { streamNo, headSeq }: StreamHead,
    flushes: number,
  ) {
    this.address = address;
    this.log = log;
    this.epoch = epoch;
    this.bornSeq = bornSeq;
    this.handle = { streamNo };
    this.headSeq = headSeq;
    this.#flushes = flushes;
  }

  get erasedAt(): number {
    return cellNumber(this.log.cell(this.address, "erased"));
  }

  /** @returns whether the head is right now; if not, it has to be read */
  update(): boolean {
    if (this.log.isClosed) return false;
    const { flushes } = this.log;
    const head = this.log.headInMemory(this.address);
    if (head === undefined) return this.#flushes === flushes;
    this.headSeq = head.headSeq;
    this.#flushes = flushes;
    return true;
  }
}
