/** Handoffs and their outcomes as bytes. */
import { jsonString } from "../../../protocol/encode.ts";
import { nameOf, shardOf, type UserId } from "../../../domain/address.ts";
import type { MessageIds } from "../../../domain/message-id.ts";
import type { Seq } from "../../../../storage/types.ts";
import type { Handoff, MessageHandoff } from "../handoff.ts";
import { bool, decodeMessage, encodeMessage, fields, oneOf, type Codec } from "./codec.ts";
import { anyError } from "./error-codec.ts";
import { groupAddress, number, seq, text, userAddress, userId, word } from "./values.ts";

/** Without the fields that follow from the others. */
type MessageFields = Omit<MessageHandoff, "receiver" | "id" | "textJson">;
type WrittenHandoff = Exclude<Handoff, MessageHandoff> | MessageFields;

const handoff: Codec<WrittenHandoff> = oneOf<WrittenHandoff>({
  message: [
    1,
    fields<Omit<MessageFields, "kind">>({
      from: userAddress,
      to: userAddress,
      seq,
      prev: seq,
      streamNo: number,
      sentAt: number,
      rank: number,
      text,
    }),
  ],
  posted: [2, fields({ group: groupAddress, author: userId, ref: text, seq })],
  membership: [
    3,
    fields({
      group: groupAddress,
      user: userId,
      change: word("joined", "left"),
      seq,
      prev: seq,
      at: number,
      isUnasked: bool,
      epoch: text,
    }),
  ],
  peerMark: [4, fields({ from: userAddress, to: userAddress, delivered: seq, read: seq })],
  memberMark: [5, fields({ user: userId, group: groupAddress, epoch: text, delivered: seq, read: seq })],
});

export const encodeHandoff = (value: Handoff): Buffer => encodeMessage(handoff, value);

/** @throws RangeError for bytes that are no handoff. @param ids of the cluster */
export function decodeHandoff(bytes: Buffer, ids: MessageIds): Handoff {
  const value = decodeMessage(handoff, bytes);
  return value.kind === "message" ? new ArrivedMessage(value, ids) : value;
}

class ArrivedMessage implements MessageHandoff {
  readonly kind = "message";
  readonly from: MessageHandoff["from"];
  readonly to: MessageHandoff["to"];
  readonly seq: Seq;
  readonly prev: Seq;
  readonly streamNo: number;
  readonly sentAt: number;
  readonly rank: number;
  readonly text: string;
  readonly #ids: MessageIds;

  constructor({ from, to, seq, prev, streamNo, sentAt, rank, text }: MessageFields, ids: MessageIds) {
    this.from = from;
    this.to = to;
    this.seq = seq;
    this.prev = prev;
    this.streamNo = streamNo;
    this.sentAt = sentAt;
    this.rank = rank;
    this.text = text;
    this.#ids = ids;
  }

  get receiver(): UserId {
    return nameOf(this.to) as UserId;
  }

  get id(): string {
    return this.#ids.encode(shardOf(this.from), this.streamNo, this.seq);
  }

  get textJson(): string {
    return jsonString(this.text);
  }
}

/** A call of `HandoffOutcome`. */
export type ToldOutcome =
  | { readonly kind: "confirmed"; readonly through: Seq; readonly read: Seq }
  | { readonly kind: "missing"; readonly through: Seq }
  | { readonly kind: "notTaken"; readonly error: unknown };

const outcome = oneOf<ToldOutcome>({
  confirmed: [1, fields({ through: seq, read: seq })],
  missing: [2, fields({ through: seq })],
  notTaken: [3, fields({ error: anyError })],
});

export const encodeOutcome = (value: ToldOutcome): Buffer => encodeMessage(outcome, value);
/** @throws RangeError for bytes that are no outcome */
export const decodeOutcome = (bytes: Buffer): ToldOutcome => decodeMessage(outcome, bytes);
