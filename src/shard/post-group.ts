/**
 * A message to a group: one entry in the group's log, one record of its ref in the author's shard, no copy per member.
 *
 * The group's record goes first. The author hears `sent` when both are durable: the ref is then known wherever it is asked for (G2).
 */
import type { GroupAddress, UserId } from "../domain/address.ts";
import { payloadBytesMax, postedKey, POSTED_LANE, writePosted } from "../domain/entries.ts";
import { jsonString, messageFrame } from "../protocol/encode.ts";
import type { RecordSource } from "../../storage/staged-record.ts";
import type { Seq } from "../../storage/types.ts";
import { CellReader, encodeCell } from "./cells.ts";
import type { ConversationState } from "./conversation-state.ts";
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
  log.append({
    encode: () => writePostedRef(author, group, ref, seq),
    committed: () => {},
    failed: () => {},
  });
  return true;
}

function writePostedRef(author: UserState, group: GroupAddress, ref: string, seq: Seq): void {
  author.log.putKey(author.handle, ref, seq, postedRefValue(author, group));
}

/**
 * Where the message went: the seq of the author's own membership entry, whose lane names the group, in one or two bytes instead of the address; the address when there is
 * no such entry yet.
 *
 *     value    cell of: seq of the entry | address, if that is 0
 */
function postedRefValue(author: UserState, group: GroupAddress): Uint8Array {
  const joined = author.membership(group);
  if (joined === undefined) return encodeCell(0, group);
  return (joined.postedRefValue ??= firstPost(author, joined));
}

/**
 * Once a membership and load, so that no other post pays for it. Whoever posts makes the membership their own, where there is room: in the same record.
 * Should that fail, the place is counted as their own until the user is loaded again.
 */
function firstPost(author: UserState, joined: ConversationState): Uint8Array {
  if (joined.isUnasked && hasRoomForOwnGroup(author)) {
    author.log.putNumbers(author.handle, `asked/${joined.address}`, joined.joinedSeq);
    joined.askedSeq = joined.joinedSeq;
  }
  return encodeCell(joined.lastSeq);
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
  id = "";

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
  }

  encode(): void {
    const { group, author, seq, text } = this;
    const { log } = group;
    log.beginEntry(group.handle, POSTED_LANE, postedKey(author.user, this.ref), seq, payloadBytesMax(text));
    this.textBytes = writePosted(log.writer, this.sentAt, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const { group, author, seq, sentAt, rank, text } = this;
    group.fold(seq, { kind: "posted", sentAt, rank, author: author.user, text });
    author.postChanged(group.address, this.textBytes);
    this.id = this.host.ids.encode(group.log.shard, group.handle.streamNo, seq);
    const textJson = jsonString(text);
    const frame = messageFrame(this.id, group.address, author.user, textJson, seq, sentAt);
    fanOut(this.host, group, seq, frame, author.user);
    if (author.sessions.size === 0) return;
    const own = messageFrame(this.id, group.address, author.user, textJson, seq, sentAt, jsonString(this.ref));
    for (const session of author.sessions) if (session !== this.reply.session) session.entry(group.address, seq, own);
  }

  failed(error: Error): void {
    refuseAll(this, this.reply, unknownFate(error));
  }
}

class RefNoted implements RecordSource {
  readonly post: GroupPost;

  constructor(post: GroupPost) {
    this.post = post;
  }

  encode(): void {
    const { author, ref, seq, to } = this.post;
    writePostedRef(author, to, ref, seq);
  }

  committed(): void {
    settle(this.post.author, this.post, this.post.reply, this.post);
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
