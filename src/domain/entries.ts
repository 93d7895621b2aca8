/**
 * What stands in the payload of an entry.
 *
 *     sent        u8 1 | u48 sentAt | text                                         timeline, lane = other side, key = ref
 *     taken       u8 2 | u48 sentAt | u48 sender's seq | u32 sender's stream | u32 ordinal | text
 *                                                                                timeline, lane = sender
 *     membership  u8 3 | u8 change | u48 at | u48 group seq | epoch                timeline, lane = group
 *     posted      u8 4 | u48 sentAt | u8 length | author | text                    group, lane "m", key = author/ref
 *     changed     u8 5 | JSON                                                      group, lane ""
 *     nothing                                                                      any, after an erasure: who and when are gone as well
 *
 * Integers little-endian, text UTF-8 to the end. A message to oneself is one `sent` entry whose lane is one's own address.
 */
import type { ByteWriter } from "../../storage/record.ts";
import type { Seq, StoredEntry } from "../../storage/types.ts";
import type { GroupChange, GroupRole } from "../protocol/frames.ts";
import type { UserId } from "./address.ts";

export const POSTED_LANE = "m";
export const CHANGED_LANE = "";

const SENT = 1;
const TAKEN = 2;
const MEMBERSHIP = 3;
const POSTED = 4;
const CHANGED = 5;

export type SentEntry = { kind: "sent"; sentAt: number; text: string };
export type TakenEntry = {
  kind: "taken";
  sentAt: number;
  fromSeq: Seq;
  fromStreamNo: number;
  /** How many messages of this sender the receiver has got, this one included: unread ones are counted by subtraction. */
  ordinal: number;
  text: string;
};
export type MembershipEntry = {
  kind: "membership";
  change: "joined" | "left";
  at: number;
  groupSeq: Seq;
  epoch: string;
};
export type PostedEntry = { kind: "posted"; sentAt: number; author: UserId; text: string };
export type GroupChangeDetail = {
  change: GroupChange;
  by: UserId;
  at: number;
  user?: UserId;
  name?: string;
  role?: GroupRole;
  members?: UserId[];
  keepDays?: number | null;
};
export type ChangedEntry = { kind: "changed"; detail: GroupChangeDetail };

/** A tombstone: of what was erased, the place is left. */
export type ErasedEntry = { kind: "erased" };

export type TimelineEntry = SentEntry | TakenEntry | MembershipEntry | ErasedEntry;
export type GroupEntry = PostedEntry | ChangedEntry | ErasedEntry;

const ERASED: ErasedEntry = { kind: "erased" };

/** Room a payload can need: heads are below 64 bytes, text at most 3 bytes a UTF-16 unit. */
export const payloadBytesMax = (text: string): number => 64 + text.length * 3;

export const postedKey = (author: UserId, ref: string): string => `${author}/${ref}`;
export const refOfPostedKey = (key: string): string => key.slice(key.indexOf("/") + 1);

export function writeSent(out: ByteWriter, sentAt: number, text: string): void {
  out.u8(SENT);
  out.u48(sentAt);
  out.utf8(text);
}

export function writeTaken(
  out: ByteWriter,
  sentAt: number,
  fromSeq: Seq,
  fromStreamNo: number,
  ordinal: number,
  text: string,
): void {
  out.u8(TAKEN);
  out.u48(sentAt);
  out.u48(fromSeq);
  out.u32(fromStreamNo);
  out.u32(ordinal);
  out.utf8(text);
}

export function writeMembership(out: ByteWriter, entry: MembershipEntry): void {
  out.u8(MEMBERSHIP);
  out.u8(entry.change === "joined" ? 1 : 0);
  out.u48(entry.at);
  out.u48(entry.groupSeq);
  out.utf8(entry.epoch);
}

export function writePosted(out: ByteWriter, sentAt: number, author: UserId, text: string): void {
  out.u8(POSTED);
  out.u48(sentAt);
  out.str8(author);
  out.utf8(text);
}

/** JSON of a change; the caller reserves `payloadBytesMax` of it. */
export const changedJson = (detail: GroupChangeDetail): string => JSON.stringify(detail);

export function writeChanged(out: ByteWriter, json: string): void {
  out.u8(CHANGED);
  out.utf8(json);
}

const asBuffer = (payload: Uint8Array): Buffer => Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);

/** @throws RangeError for a payload that is none of a timeline: written by a newer version. */
export function readTimelineEntry(entry: StoredEntry): TimelineEntry {
  if (entry.payload.length === 0) return ERASED;
  const bytes = asBuffer(entry.payload);
  switch (bytes[0]) {
    case SENT:
      return { kind: "sent", sentAt: bytes.readUIntLE(1, 6), text: bytes.toString("utf8", 7) };
    case TAKEN:
      return {
        kind: "taken",
        sentAt: bytes.readUIntLE(1, 6),
        fromSeq: bytes.readUIntLE(7, 6) as Seq,
        fromStreamNo: bytes.readUInt32LE(13),
        ordinal: bytes.readUInt32LE(17),
        text: bytes.toString("utf8", 21),
      };
    case MEMBERSHIP:
      return {
        kind: "membership",
        change: bytes[1] === 1 ? "joined" : "left",
        at: bytes.readUIntLE(2, 6),
        groupSeq: bytes.readUIntLE(8, 6) as Seq,
        epoch: bytes.toString("utf8", 14),
      };
    default:
      throw new RangeError(`timeline entry ${entry.seq} is of unknown kind ${bytes[0]}`);
  }
}

/** @throws RangeError for a payload that is none of a group's log: written by a newer version. */
export function readGroupEntry(entry: StoredEntry): GroupEntry {
  if (entry.payload.length === 0) return ERASED;
  const bytes = asBuffer(entry.payload);
  if (bytes[0] === POSTED) {
    const textAt = 8 + bytes[7]!;
    return {
      kind: "posted",
      sentAt: bytes.readUIntLE(1, 6),
      author: bytes.toString("latin1", 8, textAt) as UserId,
      text: bytes.toString("utf8", textAt),
    };
  }
  if (bytes[0] === CHANGED)
    return { kind: "changed", detail: JSON.parse(bytes.toString("utf8", 1)) as GroupChangeDetail };
  throw new RangeError(`group entry ${entry.seq} is of unknown kind ${bytes[0]}`);
}

/** Who posted it, without reading the text; undefined for a change of the group and for a tombstone. */
export function authorOf({ payload }: StoredEntry): UserId | undefined {
  return payload[0] === POSTED ? (asBuffer(payload).toString("latin1", 8, 8 + payload[7]!) as UserId) : undefined;
}
