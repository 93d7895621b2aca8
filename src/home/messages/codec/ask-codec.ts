/** Questions and answers as bytes: `varint code of the kind | its fields`. */
import type { ByteReader } from "../../../../storage/encoding/byte-reader.ts";
import type { GrowingWriter } from "../../../../storage/encoding/byte-writer.ts";
import { address, groupAddress, seq, text, userAddress, userId } from "./values.ts";
import type { Address } from "../../../domain/address.ts";
import type { Answers, Questions } from "../ask.ts";
import * as erasing from "./erasing-codec.ts";
import { bool, decodeMessage, encodeMessage, fields, list, optional, readNumber, type Codec } from "./codec.ts";
import { group, groupWish } from "./group-codec.ts";
import { posted } from "./post-codec.ts";
import * as reads from "./reads-codec.ts";

type Kind = keyof Questions;

/** The code of a kind never changes, and is never given to another kind. */
const ASKS: {
  readonly [K in Kind]: readonly [code: number, question: Codec<Questions[K]>, answer: Codec<Answers[K]>];
} = {
  posted: [1, fields<Questions["posted"]>({ group: groupAddress, seq }), optional(posted)],
  user: [2, fields<Questions["user"]>({ user: userAddress }), optional(fields({ displayName: text }))],
  groupEntries: [3, reads.groupEntriesQuestion, reads.groupEntriesAnswer],
  groupPage: [4, reads.groupPageQuestion, reads.groupPageAnswer],
  groupRankAsOf: [5, reads.groupRankQuestion, reads.groupRankAnswer],
  groupStanding: [8, reads.groupStandingQuestion, optional(reads.groupStandingAnswer)],
  groupView: [6, reads.groupViewQuestion, reads.groupViewAnswer],
  profile: [7, reads.profileQuestion, optional(reads.profileAnswer)],
  groupEnd: [20, erasing.groupEndQuestion, optional(erasing.groupEndAnswer)],
  erasedFromFiles: [23, erasing.erasedFromFilesQuestion, erasing.erasedFromFilesAnswer],
  postedBytes: [22, erasing.postedBytesQuestion, optional(erasing.postedBytesAnswer)],
  eraseContent: [21, erasing.contentToErase, erasing.contentErased],
  group: [30, fields<Questions["group"]>({ group: groupAddress, viewer: reads.viewer }), group],
  createGroup: [
    31,
    fields<Questions["createGroup"]>({
      group: groupAddress,
      epoch: text,
      by: userId,
      name: text,
      members: list(userId),
    }),
    group,
  ],
  changeGroup: [
    32,
    fields<Questions["changeGroup"]>({ group: groupAddress, call: text, by: reads.viewer, wish: groupWish }),
    fields<Answers["changeGroup"]>({ isKeptAnew: bool, isAdded: bool, group: optional(group) }),
  ],
  mayJoin: [
    33,
    fields<Questions["mayJoin"]>({ user: userId, group: groupAddress, isOwnDoing: bool }),
    fields<Answers["mayJoin"]>({ knownThrough: seq }),
  ],
};

/** A question on its way. */
export type Asked<K extends Kind = Kind> = { readonly kind: K; readonly to: Address; readonly question: Questions[K] };

const KINDS = Object.keys(ASKS) as Kind[];

const asked: Codec<Asked> = {
  write(out: GrowingWriter, { kind, to, question }) {
    const [code, codec] = ASKS[kind];
    out.varint(code);
    address.write(out, to);
    (codec as Codec<Questions[Kind]>).write(out, question);
  },
  read(from: ByteReader) {
    const code = readNumber(from);
    const kind = KINDS.find((one) => ASKS[one][0] === code);
    if (kind === undefined) throw new RangeError(`unknown kind of question: ${code}`);
    return { kind, to: address.read(from), question: ASKS[kind][1].read(from) };
  },
};

export const encodeQuestion = (value: Asked): Buffer => encodeMessage(asked, value);
/** @throws RangeError for bytes that are no question */
export const decodeQuestion = (bytes: Buffer): Asked => decodeMessage(asked, bytes);

export function encodeAnswer<K extends Kind>(kind: K, answer: Answers[K]): Buffer {
  return encodeMessage(ASKS[kind][2], answer);
}

/** @throws RangeError for bytes that are no answer */
export function decodeAnswer<K extends Kind>(kind: K, bytes: Buffer): Answers[K] {
  return decodeMessage(ASKS[kind][2], bytes);
}
