/**
 * A message to a group: one entry in the group's log, one record of its ref in the author's shard, no copy per member.
 *
 * The group's record goes first. The author hears `sent` when both are durable: the ref is then known wherever it is asked for (G2).
 */
import type { GroupAddress, UserId } from "../domain/address.ts";
import type { IdBatch } from "../domain/message-id.ts";
import { payloadBytesMax, postedKey, POSTED_LANE, writePosted } from "../domain/entries.ts";
import { jsonString, messageFrame } from "../protocol/encode.ts";
import type { RecordSource } from "../../storage/shard/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { CellReader, encodeCell } from "./cells.ts";
import type { ConversationState } from "./conversation-state.ts";
import { foldPosted } from "./fold/group.ts";
import { foldAsked } from "./fold/timeline-cells.ts";
import { hasRoomForOwnGroup } from "./group-quota.ts";
import type { GroupState } from "./group-state.ts";
import type { PendingSend, SendReply, SendRequest } from "./pending-send.ts";
import { refuseAll, settle, unknownFate } from "./settle-send.ts";
import type { Shards } from "./shards.ts";
import type { UserState } from "./user-state.ts";

/** The request is allowed, is no repeat, and the author is a member. */
export function postGroup(
  host: Shards,
  author: UserState,
  group: GroupState,
  request: SendRequest,
  reply: SendReply,
): void {
  const { log, nextSeq: seq } = group;
  const post = new GroupPost(host, author, group, request, reply, seq);
  const savepoint = log.savepoint;
  log.append(post);
  try {
    author.log.append(new RefNoted(post));
  } catch (error) {
    log.rollBack(savepoint);
    throw error;
  }
  group.nextSeq = (seq + 1) as Seq;
  author.pendingSends.push(post);
  author.bytesOnTheWay += post.textBytes;
}

/** After a crash, which may have left the group's record alone. @returns whether it was missing */
export function noteMissingRef(author: UserState, group: GroupAddress, ref: string, seq: Seq): boolean {
  const { log, address } = author;
  if (log.findKey(address, ref) !== undefined) return false;
  let asked: ConversationState | undefined;
  log.append({
    encode: () => void (asked = writePostedRef(author, group, ref, seq)),
    committed: () => foldRefNoted(asked),
    failed: () => {},
  });
  return true;
}

/**
 * Notes where the message went: the seq of the author's own membership entry, whose lane names the group. That takes one
 * or two bytes instead of the address. Where there is no such entry yet, it is the address. The value is encoded once a
 * membership and load, so that no other post pays for it.
 *
 *     value    cell of: seq of the entry | address, if that is 0
 *
 * @returns the membership, when the author makes it their own with this record
 */
function writePostedRef(author: UserState, group: GroupAddress, ref: string, seq: Seq): ConversationState | undefined {
  const joined = author.membership(group);
  const isFirst = joined !== undefined && joined.postedRefValue === undefined;
  const asked = isFirst && makeOwn(author, joined) ? joined : undefined;
  if (isFirst) joined.postedRefValue = encodeCell(joined.lastSeq);
  author.log.putKey(author.handle, ref, seq, joined?.postedRefValue ?? encodeCell(0, group));
  return asked;
}

/**
 * An author makes the membership their own by posting, where there is room: in the same record. Should that record fail,
 * the place is counted as their own until the user is loaded again. @returns whether the record says so
 */
function makeOwn(author: UserState, joined: ConversationState): boolean {
  if (!joined.isUnasked || !hasRoomForOwnGroup(author)) return false;
  author.log.putNumbers(author.handle, `asked/${joined.address}`, joined.joinedSeq);
  joined.askedPending = joined.joinedSeq;
  return true;
}

/** @param asked the membership that the record makes the author's own */
function foldRefNoted(asked: ConversationState | undefined): void {
  if (asked !== undefined) foldAsked(asked, asked.askedPending);
}

/** The group that a ref of the author was posted to; `value` is what stands with the ref. */
export function groupOfPostedRef(author: UserState, value: Uint8Array): GroupAddress | undefined {
  const fields = new CellReader(value);
  const seq = fields.number() as Seq;
  if (seq === 0) return fields.text() as GroupAddress;
  const [membership] = author.log.readForward(author.address, (seq - 1) as Seq, 1);
  return membership?.lane as GroupAddress | undefined;
}

class GroupPost implements RecordSource, PendingSend {
  readonly host: Shards;
  readonly author: UserState;
  readonly group: GroupState;
  readonly reply: SendReply;
  readonly ref: string;
  readonly to: GroupAddress;
  readonly text: string;
  readonly seq: Seq;
  readonly sentAt: number;
  readonly rank: number;
  textBytes = 0;
  repeats: SendReply[] | undefined = undefined;
  #id: string | undefined;
  readonly #ids: IdBatch;
  readonly #idAt: number;
  /** Of the two records. */
  #durable = 0;

  constructor(host: Shards, author: UserState, group: GroupState, request: SendRequest, reply: SendReply, seq: Seq) {
    this.host = host;
    this.author = author;
    this.group = group;
    this.reply = reply;
    this.ref = request.ref;
    this.to = group.address;
    this.text = request.text;
    this.seq = seq;
    this.sentAt = host.clock.now();
    this.rank = host.ranks.group(this.sentAt);
    this.#ids = host.ids.gathering;
    this.#idAt = this.#ids.add(group.log.shard, group.handle.streamNo, seq);
  }

  /** As of a direct message: whoever asks first has it encrypted. */
  get id(): string {
    return (this.#id ??= this.#ids.id(this.#idAt));
  }

  encode(): void {
    const { group, author, seq, text } = this;
    const { log } = group;
    log.beginEntry(group.handle, POSTED_LANE, postedKey(author.user, this.ref), seq, payloadBytesMax(text));
    this.textBytes = writePosted(log.writer, this.sentAt, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const { group, author, seq } = this;
    foldPosted(group, seq, this.rank, author.user, this.textBytes);
    author.postChanged(group.address, this.textBytes);
    this.#fanOut();
    this.noted();
  }

  /** One of the two records is durable. */
  noted(): void {
    if (++this.#durable === 2) settle(this.author, this, this.reply, this);
  }

  failed(error: Error): void {
    refuseAll(this, this.reply, unknownFate(error));
  }

  #fanOut(): void {
    const { group, author, seq, sentAt, text } = this;
    const textJson = jsonString(text);
    const frame = messageFrame(this.id, group.address, author.user, textJson, seq, sentAt);
    fanOut(this.host, group, seq, frame, author.user);
    if (author.sessions.size === 0) return;
    const own = messageFrame(this.id, group.address, author.user, textJson, seq, sentAt, jsonString(this.ref));
    for (const session of author.sessions) if (session !== this.reply.session) session.entry(group.address, seq, own);
  }
}

class RefNoted implements RecordSource {
  readonly post: GroupPost;
  #asked: ConversationState | undefined;

  constructor(post: GroupPost) {
    this.post = post;
  }

  encode(): void {
    const { author, ref, seq, to } = this.post;
    this.#asked = writePostedRef(author, to, ref, seq);
  }

  committed(): void {
    foldRefNoted(this.#asked);
    this.post.noted();
  }

  failed(): void {
    // The post's own record has told the author.
  }
}

/** One frame to every session of every member, but those of `except`. */
export function fanOut(host: Shards, group: GroupState, seq: Seq, frame: string, except?: UserId): void {
  for (const member of group.members.keys()) {
    if (member === except) continue;
    const user = host.users.peek(member);
    if (user === undefined) continue;
    for (const session of user.sessions) session.entry(group.address, seq, frame);
  }
}
