/**
 * A message to a group, at its author's home: it is sent to the group's shard (accept-post.ts), which numbers it and
 * hands the ref over to this shard (take-posted.ts).
 *
 * The author gets `sent` when both records are durable: the message in the group's log, and its ref here, where repeats
 * are looked up (G2). The reply and the handoff may come in either order, late, repeated or never. While one of them is
 * missing, the post is sent again under the same ref. Without a reply, a *window* of the author's later posts to this
 * group goes along, in order (G4): as many as the group's shard holds while it waits for an earlier one. The reply to
 * the last of them lets the next window go. When nothing has arrived for a while, all of them are refused with
 * `unavailable`: it is unknown whether they are in the group's log, and sending with the same refs will tell.
 */
import { AppError } from "../../base/errors.ts";
import type { GroupAddress, UserId } from "../../domain/address.ts";
import { withRef } from "../../protocol/encode.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import type { ConversationState } from "../state/conversation-state.ts";
import type { EntryCast } from "../messages/cast.ts";
import type { SettledPost } from "../group-mirror.ts";
import type { Life, Post, Posted, PostReply } from "../messages/post.ts";
import type { PendingSend, SendReply, SendRequest, Sent } from "./pending-send.ts";
import { EARLY_MAX } from "./author-posts.ts";
import { refuseAll, settle } from "./settle-send.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { WaitingPost } from "./waiting-posts.ts";

/** Wait before a post is sent again the first time; it doubles each time that nothing has arrived in between. */
const AGAIN_MS = 500;
const AGAIN_MS_MAX = 2000;
/** An overtaken post is sent again without that wait, but not more often than this. */
const AGAIN_AT_ONCE_MS = 20;
/** Of the oldest post without a reply, and of a post whose ref has not come. Each reply is progress. */
const GIVE_UP_MS = 10_000;
/** How many posts are sent again together. */
const WINDOW = EARLY_MAX;
/** As `prev`: all earlier posts have a reply. */
const NONE_BEFORE = 0;

/**
 * The request is allowed, and no repeat of what this shard knows. @param mayRepeat whether the group's log may have it
 * already
 */
export function postGroup(
  shard: Shard,
  author: UserState,
  group: GroupAddress,
  groupShard: ShardId,
  conversation: ConversationState | undefined,
  request: SendRequest,
  reply: SendReply,
  mayRepeat: boolean,
): void {
  const post = new GroupSend(shard, author, group, groupShard, conversation, request, reply, mayRepeat);
  author.pendingSends.push(post);
  author.bytesOnTheWay += post.textBytes;
  try {
    post.isReplySure = shard.router.post(groupShard, group, post, post);
  } catch (error) {
    post.withdraw();
    throw error;
  }
  if (!post.isSettled) shard.posts.add(post);
}

/** The last post of the author to the group that is not settled. */
function lastPending({ pendingSends }: UserState, group: GroupAddress): GroupSend | undefined {
  for (let at = pendingSends.length - 1; at >= 0; at--) {
    const send = pendingSends[at]!;
    if (send.to === group) return send as GroupSend;
  }
  return undefined;
}

/** A post whose result its author awaits. */
export class GroupSend implements PendingSend, Post, PostReply, WaitingPost, SettledPost {
  readonly #shard: Shard;
  readonly #author: UserState;
  readonly #groupShard: ShardId;
  /** Undefined while the author's timeline has nothing of the group. */
  readonly #conversation: ConversationState | undefined;
  readonly reply: SendReply;
  readonly ref: string;
  readonly to: GroupAddress;
  readonly text: string;
  readonly textBytes: number;
  readonly no: number;
  /** Whether the sender marked it `retry`. */
  readonly #isRetry: boolean;
  mayRepeat: boolean;
  prev: number;
  round = 0;
  /** The router is certain to reply, however late. */
  isReplySure = false;
  repeats: SendReply[] | undefined = undefined;
  isSettled = false;
  /** The ref is on its way to the log of this shard. */
  isRefPending = false;
  isRefNoted = false;
  #sentMs: number;
  /** When it was first found to be what its author waits for; undefined: not since the last progress. */
  #awaitedSinceMs: number | undefined;
  /** How often it was sent again since then without a sign of the group's shard. */
  #vainTries = 0;
  /** It, or its reply, has overtaken that of an earlier post, since that one was sent the last time. */
  #hasOvertaken = false;
  /** Its reply lets the next window of posts be sent again. */
  #isWindowEnd = false;
  #sent: Sent | undefined;
  #hasReply = false;
  #isRepeat = false;

  constructor(
    shard: Shard,
    author: UserState,
    group: GroupAddress,
    groupShard: ShardId,
    conversation: ConversationState | undefined,
    { ref, text, retry }: SendRequest,
    reply: SendReply,
    mayRepeat: boolean,
  ) {
    this.#shard = shard;
    this.#author = author;
    this.#groupShard = groupShard;
    this.#conversation = conversation;
    this.reply = reply;
    this.ref = ref;
    this.to = group;
    this.text = text;
    this.textBytes = Buffer.byteLength(text);
    this.mayRepeat = mayRepeat;
    this.#isRetry = retry;
    this.no = shard.posts.nextNo();
    this.prev = lastPending(author, group)?.no ?? 0;
    this.#sentMs = shard.clock.monotonicMs();
  }

  get author(): UserId {
    return this.#author.user;
  }

  get authorShard(): ShardId {
    return this.#author.log.shard;
  }

  get life(): Life {
    return this.#shard.posts.life;
  }

  get groupLife(): number {
    return this.#conversation?.groupLife ?? 0;
  }

  get knownThrough(): Seq {
    return this.#conversation?.takenThrough ?? (0 as Seq);
  }

  // ---- results

  posted(posted: Posted, isRepeat: boolean, groupLife: number): void {
    const conversation = this.#conversation;
    if (conversation !== undefined) conversation.groupLife = groupLife;
    if (this.isSettled) return;
    this.#sent = sentOf(this, posted);
    // A reply to a post that was sent again may call its first arrival a repeat.
    if (!this.#hasReply) this.#isRepeat = isRepeat && (this.round === 0 || this.#isRetry);
    if (!this.#hasReply && !this.isReplySure) this.#arrived();
    this.#hasReply = true;
    this.#settleIfDone();
  }

  /** This post is in the group's log: for the author's posts to this group that is progress. */
  #arrived(): void {
    this.#hasReply = true;
    this.#awaitedSinceMs = undefined;
    const first = this.#firstWithoutReply;
    if (first === undefined) return;
    first.#awaitedSinceMs = undefined;
    if (first.no < this.no) this.#overtook();
    if (this.#isWindowEnd) this.#sendNextWindow();
  }

  /** The first post without a reply may be lost, or its reply: it is sent again soon. */
  #overtook(): void {
    this.#hasOvertaken = true;
    this.#shard.posts.lookSoon(AGAIN_AT_ONCE_MS);
  }

  /** The ref is durable in the author's shard. */
  refNoted(): void {
    this.isRefNoted = true;
    this.isRefPending = false;
    this.#settleIfDone();
  }

  /** Refuses later posts too: if the sender tries this one again, they must not end up before it (G4). */
  refused(error: AppError): void {
    const { isSettled } = this;
    const behind = isSettled || !isTransient(error) ? [] : this.#chain().filter(({ no }) => no > this.no);
    if (!this.#end()) return;
    this.#author.refusedAddresses.note(this.to, error, this.#shard.clock.monotonicMs());
    refuseAll(this, this.reply, error);
    for (const send of behind) send.refused(error);
    this.#settleThoseDone();
  }

  missing(round: number): void {
    if (this.isSettled || this.#hasReply || round !== this.round) return;
    this.#overtook();
    const first = this.#firstWithoutReply ?? this;
    const nowMs = this.#shard.clock.monotonicMs();
    if (first.#isAgainAtOnce(nowMs)) first.#sendWindow(NONE_BEFORE, nowMs);
  }

  // ---- without a result

  look(nowMs: number): void {
    if (this.isReplySure || !this.#isAwaited) return;
    if (this.#awaitedSinceMs === undefined) {
      this.#awaitedSinceMs = nowMs;
      this.#vainTries = 0;
    }
    if (this.#isWaitOver(nowMs)) {
      this.#vainTries++;
      if (nowMs - this.#awaitedSinceMs >= GIVE_UP_MS) return this.giveUp();
    } else if (this.#hasReply || !this.#isAgainAtOnce(nowMs) || !this.#isOvertaken) return;
    if (this.#hasReply) this.#again(NONE_BEFORE, nowMs);
    else this.#sendWindow(NONE_BEFORE, nowMs);
  }

  #isWaitOver(nowMs: number): boolean {
    return nowMs - this.#sentMs >= Math.min(AGAIN_MS_MAX, AGAIN_MS * 2 ** this.#vainTries);
  }

  #isAgainAtOnce(nowMs: number): boolean {
    return this.round === 0 || nowMs - this.#sentMs >= AGAIN_AT_ONCE_MS;
  }

  get #isOvertaken(): boolean {
    return this.#window().some((send) => send.#hasOvertaken);
  }

  /** Whether something about this post is missing. The posts behind the first one without a reply wait for that one. */
  get #isAwaited(): boolean {
    return this.#hasReply ? !this.isRefNoted : this.#firstWithoutReply === this;
  }

  get #firstWithoutReply(): GroupSend | undefined {
    for (const send of this.#author.pendingSends) {
      const post = send as GroupSend;
      if (send.to === this.to && !post.isSettled && !post.#hasReply) return post;
    }
    return undefined;
  }

  giveUp(): void {
    this.refused(noReply(this.to));
  }

  /**
   * Sends this post and those behind it again, oldest first, if they have no reply. @param prev number of the post
   * before this one
   */
  #sendWindow(prev: number, nowMs: number): void {
    const window = this.#window();
    const last = window.at(-1);
    for (const send of window) {
      send.#hasOvertaken = false;
      send.#isWindowEnd = send === last;
      if (!send.isSettled && !send.#hasReply) send.#again(prev, nowMs);
      prev = send.no;
    }
  }

  #window(): GroupSend[] {
    return this.#chain()
      .filter(({ no }) => no >= this.no)
      .slice(0, WINDOW);
  }

  /** This post is in the group's log, and so are those before it. */
  #sendNextWindow(): void {
    this.#isWindowEnd = false;
    const next = this.#chain().find(({ no }) => no > this.no);
    const nowMs = this.#shard.clock.monotonicMs();
    // It may just have been sent the first time.
    if (next !== undefined && nowMs - next.#sentMs >= AGAIN_AT_ONCE_MS) next.#sendWindow(this.no, nowMs);
  }

  #again(prev: number, nowMs: number): void {
    this.prev = prev;
    this.mayRepeat = true;
    this.round++;
    this.#sentMs = nowMs;
    try {
      this.#shard.router.post(this.#groupShard, this.to, this, this);
    } catch (error) {
      // The caller is a timer or a reply, which cannot handle the error.
      if (error instanceof AppError) return this.refused(error);
      this.#shard.logger.error("a post could not be sent again", { error, group: this.to });
      this.refused(noReply(this.to));
    }
  }

  /** The author's posts to this group that are not settled, oldest first. */
  #chain(): GroupSend[] {
    const posts = this.#author.pendingSends.filter(({ to }) => to === this.to) as GroupSend[];
    return posts.filter(({ isSettled }) => !isSettled);
  }

  // ---- the end

  /** The post was never sent. */
  withdraw(): void {
    this.#end();
  }

  /** In the group's log. */
  get seq(): Seq {
    return this.#sent!.seq;
  }

  tell(): void {
    settle(this.#author, this, this.reply, this.#sent!, this.#isRepeat);
  }

  get #isDone(): boolean {
    return this.#sent !== undefined && this.isRefNoted && !this.isSettled;
  }

  /** Settles in the order of sending (G4): this post if no earlier one waits, and then later posts that are done. */
  #settleIfDone(): void {
    if (this.#isDone) this.#settleThoseDone();
  }

  #settleThoseDone(): void {
    for (let next = this.#oldest; next !== undefined && next.#isDone; next = this.#oldest) next.#settle();
  }

  /** Of the author's posts to this group that are not settled. */
  get #oldest(): GroupSend | undefined {
    for (const send of this.#author.pendingSends)
      if (send.to === this.to && !(send as GroupSend).isSettled) return send as GroupSend;
    return undefined;
  }

  #settle(): void {
    const sent = this.#sent!;
    this.isSettled = true;
    const isSame = sent.text === this.text || sent.deletedAt !== undefined;
    if (isSame) return this.#shard.mirrors.settled(this.#author, this.to, this);
    this.#author.forgetPending(this);
    refuseAll(this, this.reply, refConflict(this.ref));
  }

  #end(): boolean {
    if (this.isSettled) return false;
    this.isSettled = true;
    this.#author.forgetPending(this);
    return true;
  }
}

/** Without a spread, which would cost each post more than everything else here. */
function sentOf({ ref, to }: GroupSend, { seq, id, sentAt, text, deletedAt }: Posted): Sent {
  if (deletedAt === undefined) return { ref, id, to, seq, sentAt, text };
  return { ref, id, to, seq, sentAt, text, deletedAt };
}

/** Whether the sender may try again: then later posts have to wait for that. */
const isTransient = ({ code }: AppError): boolean => code === "unavailable" || code === "not_owner";

const noReply = (group: GroupAddress): AppError =>
  new AppError("unavailable", `${group} does not reply; send again with the same ref and retry`, {
    retryAfterMs: 2000,
  });

/** The author's devices get their own post with its ref; the device that sent it gets `sent` instead. */
export function showOwnPost(user: UserState, { group, seq, frame }: EntryCast, ref: string): void {
  const { sessions } = user;
  if (sessions.length === 0) return;
  const sender = user.pendingSend(ref)?.reply.session;
  if (sessions.length === 1 && sender !== undefined && sessions.includes(sender)) return;
  const own = withRef(frame, ref);
  for (const session of sessions) if (session !== sender) session.entry(group, seq, own);
}

export function refConflict(ref: string): AppError {
  return new AppError(
    "ref_conflict",
    `ref ${JSON.stringify(ref)} was used for another message; a ref names one message for ever`,
  );
}
