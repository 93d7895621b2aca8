/**
 * A message to a group, at its author's home: it is sent to the group's shard (accept-post.ts), which numbers it and hands the ref over to this shard (take-posted.ts).
 *
 * The author hears `sent` when both records are durable: the message in the group's log, and its ref here, where it is asked for (G2). The reply and the handoff may come
 * in either order, late or repeated; while one of them is missing the author is told nothing, and may send again with the same ref.
 */
import { AppError } from "../base/errors.ts";
import type { GroupAddress, UserId } from "../domain/address.ts";
import { withRef } from "../protocol/encode.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import type { EntryCast } from "./messages/cast.ts";
import type { Post, Posted, PostReply } from "./messages/post.ts";
import type { PendingSend, SendReply, SendRequest, Sent } from "./pending-send.ts";
import { refuseAll, settle } from "./settle-send.ts";
import type { Shard } from "./shard.ts";
import type { UserState } from "./user-state.ts";

/** The request is allowed, and no repeat of what this shard knows. @param mayRepeat the group's log may have it already */
export function postGroup(
  shard: Shard,
  author: UserState,
  group: GroupAddress,
  groupShard: ShardId,
  request: SendRequest,
  reply: SendReply,
  mayRepeat: boolean,
): void {
  const knownThrough = author.conversations.get(group)?.takenThrough ?? (0 as Seq);
  const post = new GroupSend(author, group, request, reply, mayRepeat, knownThrough);
  author.pendingSends.push(post);
  author.bytesOnTheWay += post.textBytes;
  try {
    shard.router.post(groupShard, group, post, post);
  } catch (error) {
    post.withdraw();
    throw error;
  }
}

/** A post that its author waits for. */
export class GroupSend implements PendingSend, Post, PostReply {
  readonly #author: UserState;
  readonly reply: SendReply;
  readonly ref: string;
  readonly to: GroupAddress;
  readonly text: string;
  readonly textBytes: number;
  readonly mayRepeat: boolean;
  readonly knownThrough: Seq;
  repeats: SendReply[] | undefined = undefined;
  #sent: Sent | undefined;
  #isRepeat = false;
  #isRefNoted = false;
  #isSettled = false;

  constructor(
    author: UserState,
    group: GroupAddress,
    { ref, text }: SendRequest,
    reply: SendReply,
    mayRepeat: boolean,
    knownThrough: Seq,
  ) {
    this.#author = author;
    this.reply = reply;
    this.ref = ref;
    this.to = group;
    this.text = text;
    this.textBytes = Buffer.byteLength(text);
    this.mayRepeat = mayRepeat;
    this.knownThrough = knownThrough;
  }

  get author(): UserId {
    return this.#author.user;
  }

  get authorShard(): ShardId {
    return this.#author.log.shard;
  }

  posted({ seq, id, sentAt, text, deletedAt }: Posted, isRepeat: boolean): void {
    const { ref, to } = this;
    this.#sent = { ref, id, to, seq, sentAt, text, ...(deletedAt === undefined ? {} : { deletedAt }) };
    this.#isRepeat = isRepeat;
    this.#settleIfDone();
  }

  /** The ref is durable in the author's shard. */
  refNoted(): void {
    this.#isRefNoted = true;
    this.#settleIfDone();
  }

  refused(error: AppError): void {
    if (!this.#end()) return;
    refuseAll(this, this.reply, error);
  }

  /** It never left. */
  withdraw(): void {
    this.#end();
  }

  #settleIfDone(): void {
    const sent = this.#sent;
    if (sent === undefined || !this.#isRefNoted || this.#isSettled) return;
    this.#isSettled = true;
    const isSame = sent.text === this.text || sent.deletedAt !== undefined;
    if (isSame) return settle(this.#author, this, this.reply, sent, this.#isRepeat);
    this.#author.forgetPending(this);
    refuseAll(this, this.reply, refConflict(this.ref));
  }

  #end(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#author.forgetPending(this);
    return true;
  }
}

/** The author's devices see their own post with its ref; the one that sent it has `sent`. */
export function showOwnPost(user: UserState, { group, seq, frame }: EntryCast, ref: string): void {
  const { sessions } = user;
  if (sessions.size === 0) return;
  const sender = user.pendingSend(ref)?.reply.session;
  if (sessions.size === 1 && sender !== undefined && sessions.has(sender)) return;
  const own = withRef(frame, ref);
  for (const session of sessions) if (session !== sender) session.entry(group, seq, own);
}

export function refConflict(ref: string): AppError {
  return new AppError(
    "ref_conflict",
    `ref ${JSON.stringify(ref)} was used for another message; a ref names one message for ever`,
  );
}
