/** A noted mark that the peer's shard has not confirmed: offered until it is, at growing intervals. */
import { isGroup, nameOf, shardOf, type Address, type UserAddress, type UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import { CellReader } from "../state/cells.ts";
import type { HandoffOutcome, MemberMarkHandoff, PeerMarkHandoff } from "../messages/handoff.ts";
import type { Shard } from "../shard.ts";

const AGAIN_MS = 1000;
const AGAIN_MS_MAX = 30_000;

/** `epoch` is of a group. */
export type Said = { readonly delivered: Seq; readonly read: Seq; readonly epoch: string };

export class UntoldMark implements HandoffOutcome {
  readonly #shard: Shard;
  readonly #whose: string;
  readonly #onTold: (mark: UntoldMark) => void;
  #said: Said;
  #waitMs = AGAIN_MS / 2;
  #dueMs = Number.NEGATIVE_INFINITY;

  /** @param whose `@USER/CONV` */
  constructor(shard: Shard, whose: string, said: Said, onTold: (mark: UntoldMark) => void) {
    this.#shard = shard;
    this.#whose = whose;
    this.#said = said;
    this.#onTold = onTold;
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
    const handoff = handoffOf(this.#whose, this.#said);
    try {
      this.#shard.router.handOff(shardOf(receiverOf(handoff)), handoff, this);
    } catch {
      // It is offered again.
    }
  }

  confirmed(through: Seq, read: Seq = 0 as Seq): void {
    if (through >= this.delivered && read >= this.read) this.#onTold(this);
  }

  missing(): void {}

  notTaken(): void {}
}

/** The higher marks of both. Marks of a former life of a group do not count. */
export function together(before: Said | undefined, said: Said): Said {
  if (before === undefined || before.epoch !== said.epoch) return said;
  const delivered = Math.max(before.delivered, said.delivered) as Seq;
  return { delivered, read: Math.max(before.read, said.read) as Seq, epoch: said.epoch };
}

export function readSaid(cell: Uint8Array): Said {
  const fields = new CellReader(cell);
  return { delivered: fields.number() as Seq, read: fields.number() as Seq, epoch: fields.text() };
}

function handoffOf(whose: string, { delivered, read, epoch }: Said): PeerMarkHandoff | MemberMarkHandoff {
  const [user, conversation] = whose.split("/") as [UserAddress, Address];
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

const receiverOf = (handoff: PeerMarkHandoff | MemberMarkHandoff): Address =>
  handoff.kind === "peerMark" ? handoff.to : handoff.group;
