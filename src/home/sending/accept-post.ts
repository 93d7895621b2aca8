/**
 * Accepts a message to a group, at the group's shard: one entry in the group's log, no copy per member. The ref is
 * handed over to the author's shard.
 *
 * Whether the author may post is decided here. A post that may be a repeat is looked up under `author/ref`: the
 * author's shard sends a post again if it gets no reply, and after a crash it may not know of the post. Posts of one
 * author enter the log in the order in which they were sent (G4): if one before it has not arrived, the reply is
 * `missing`.
 */
import { AppError } from "../../base/errors.ts";
import type { GroupAddress, UserId } from "../../domain/address.ts";
import { payloadBytesMax, postedKey, POSTED_LANE, readGroupEntry, writePosted } from "../../domain/entries.ts";
import type { IdBatch } from "../../domain/message-id.ts";
import { jsonString, messageFrame } from "../../protocol/encode.ts";
import type { RecordSource } from "../../../storage/shard/staged-record.ts";
import type { Offset, Seq } from "../../../storage/types.ts";
import { AuthorPosts } from "./author-posts.ts";
import { mustBeAbleToPost } from "../authorization.ts";
import { damagedError, isDamage } from "../damage.ts";
import { foldPosted } from "../fold/group.ts";
import type { GroupState } from "../state/group-state.ts";
import type { Handed } from "../handoffs/handoff-ledger.ts";
import type { HandoffOutcome, PostedHandoff } from "../messages/handoff.ts";
import type { Post, Posted, PostReply } from "../messages/post.ts";
import { unknownFate } from "./settle-send.ts";
import type { Shard } from "../shard.ts";

/**
 * @throws AppError if the shard cannot accept it; what the log throws for a record that cannot be appended. Then
 * nothing was appended.
 */
export function acceptPost(shard: Shard, address: GroupAddress, post: Post, reply: PostReply): void {
  const group = shard.groups.peek(address);
  if (group !== undefined && !shard.groupArrivals.isAwaited(address)) accept(shard, address, group, post, reply);
  else acceptLater(shard, address, post, reply);
}

/** A function of its own, since a function that may make closures costs more even if it makes none. */
function acceptLater(shard: Shard, address: GroupAddress, post: Post, reply: PostReply): void {
  shard.logFor(address);
  shard.groupArrivals.add(address, {
    arrived: (loaded) => accept(shard, address, loaded, post, reply),
    failed: (error) => refuse(shard, reply, error),
  });
}

function refuse(shard: Shard, reply: PostReply, error: unknown): void {
  if (error instanceof AppError) return reply.refused(error);
  if (isDamage(error)) return reply.refused(damagedError(error));
  shard.logger.error("a post could not be accepted", { error, shard: shard.id });
  reply.refused(new AppError("internal", "unexpected error; the server's log has the details"));
}

function accept(
  shard: Shard,
  address: GroupAddress,
  found: GroupState | undefined,
  post: Post,
  reply: PostReply,
): void {
  const came = found?.authorPosts.get(post.author) ?? new AuthorPosts();
  if (found !== undefined && !came.isNew(post, found.life)) {
    const pending = pendingPost(found, post);
    if (pending !== undefined) return pending.alsoReply(reply, !came.wasNew(post));
    const before = postedBefore(shard, found, post);
    if (before !== undefined) return answerAgain(shard, found, before, post, came, reply);
  }
  const group = mustBeAbleToPost(found, address, post);
  if (!came.follows(post)) return hold(group, post, came, reply);
  if (group.log.failure !== undefined) throw shard.refusals.error(shard.refusal ?? "log failed");
  append(shard, group, post, reply);
  noteCame(group, post, came);
  if (post.mayRepeat) came.tookAsNew(post);
  const next = came.releasedBy(post);
  if (next !== undefined) acceptHeld(shard, address, next.post, next.reply);
}

/** The author's shard hears that something is missing, since it may be lost and not only late. */
function hold({ authorPosts }: GroupState, post: Post, came: AuthorPosts, reply: PostReply): void {
  authorPosts.set(post.author, came);
  came.hold(post, reply);
  reply.missing(post.round);
}

function acceptHeld(shard: Shard, address: GroupAddress, post: Post, reply: PostReply): void {
  try {
    accept(shard, address, shard.groups.peek(address), post, reply);
  } catch (error) {
    refuse(shard, reply, error);
  }
}

function append(shard: Shard, group: GroupState, post: Post, reply: PostReply): void {
  const { log, nextSeq: seq } = group;
  const record = new GroupPost(shard, group, post, reply, seq);
  const savepoint = log.savepoint;
  log.append(record);
  try {
    record.isHandedOver = shard.router.handOffAlong(post.authorShard, record, record);
  } catch (error) {
    log.rollBack(savepoint);
    throw error;
  }
  shard.ledger.add(record);
  record.before = group.lastPost;
  group.lastPost = record;
  group.nextSeq = (seq + 1) as Seq;
}

function noteCame({ authorPosts }: GroupState, post: Post, came: AuthorPosts): void {
  if (came.isEmpty) authorPosts.set(post.author, came);
  came.came(post);
}

// ---- a repeat

function pendingPost({ lastPost, headSeq }: GroupState, { author, ref }: Post): GroupPost | undefined {
  for (let pending = lastPost; pending !== undefined && pending.seq > headSeq; pending = pending.before)
    if (pending.ref === ref && pending.author === author) return pending;
  return undefined;
}

function postedBefore(shard: Shard, group: GroupState, { author, ref }: Post): Posted | undefined {
  const hit = group.log.findKey(group.address, postedKey(author, ref));
  return hit && postedAt(shard, group, hit.seq);
}

/** The post at `seq`, if there is one. */
export function postedAt(shard: Shard, group: GroupState, seq: Seq): Posted | undefined {
  const { log, address } = group;
  const [stored] = log.readForward(address, (seq - 1) as Seq, 1);
  if (stored === undefined || stored.seq !== seq) return undefined;
  const entry = readGroupEntry(stored);
  const id = shard.ids.encode(log.shard, group.handle.streamNo, seq);
  if (entry.kind === "erased") return { seq, id, sentAt: 0, text: undefined, deletedAt: group.erasedAt };
  if (entry.kind !== "posted") return undefined;
  return { seq, id, sentAt: entry.sentAt, text: entry.text };
}

/** Hands the ref over again, since the author's shard may not have it. */
function answerAgain(
  shard: Shard,
  group: GroupState,
  posted: Posted,
  post: Post,
  came: AuthorPosts,
  reply: PostReply,
): void {
  const { author, authorShard, ref } = post;
  const again: PostedHandoff = { kind: "posted", group: group.address, author, ref, seq: posted.seq };
  const outcome: HandoffOutcome = { confirmed() {}, missing() {}, notTaken() {} };
  shard.router.handOff(authorShard, again, outcome);
  noteCame(group, post, came);
  reply.posted(posted, !came.wasNew(post), group.life);
}

// ---- a new post

export class GroupPost implements RecordSource, Posted, PostedHandoff, HandoffOutcome, Handed {
  readonly kind = "posted";
  readonly #shard: Shard;
  readonly #group: GroupState;
  readonly #post: Post;
  readonly #reply: PostReply;
  readonly seq: Seq;
  readonly sentAt: number;
  readonly rank: number;
  readonly #ids: IdBatch;
  readonly #idAt: number;
  #id: string | undefined;
  #textBytes = 0;
  offset = 0 as Offset;
  isConfirmed = false;
  isHandedOver = false;
  /** The previous post, while it may not be durable yet. */
  before: GroupPost | undefined = undefined;
  #replies: { reply: PostReply; isRepeat: boolean }[] | undefined;

  constructor(shard: Shard, group: GroupState, post: Post, reply: PostReply, seq: Seq) {
    this.#shard = shard;
    this.#group = group;
    this.#post = post;
    this.#reply = reply;
    this.seq = seq;
    this.sentAt = shard.clock.now();
    this.rank = shard.ranks.group(this.sentAt);
    this.#ids = shard.ids.gathering;
    this.#idAt = this.#ids.add(group.log.shard, group.handle.streamNo, seq);
  }

  /** As of a direct message: encrypted at first use. */
  get id(): string {
    return (this.#id ??= this.#ids.id(this.#idAt));
  }

  get group(): GroupAddress {
    return this.#group.address;
  }

  get stream(): GroupAddress {
    return this.#group.address;
  }

  get author(): UserId {
    return this.#post.author;
  }

  get ref(): string {
    return this.#post.ref;
  }

  get text(): string {
    return this.#post.text;
  }

  encode(): void {
    const { author, ref, seq, text } = this;
    const { log, handle } = this.#group;
    this.offset = log.nextOffset;
    log.beginEntry(handle, POSTED_LANE, postedKey(author, ref), seq, payloadBytesMax(text));
    this.#textBytes = writePosted(log.writer, this.sentAt, text, this.rank);
    log.endEntry();
  }

  committed(): void {
    const group = this.#group;
    this.#isPendingNoMore();
    foldPosted(group, this.seq, this.rank, this.author, this.#textBytes);
    if (!this.isHandedOver) this.#handOff();
    this.#fanOut();
    this.#reply.posted(this, false, group.life);
    if (this.#replies === undefined) return;
    for (const { reply, isRepeat } of this.#replies) reply.posted(this, isRepeat, group.life);
  }

  failed(error: Error): void {
    this.#isPendingNoMore();
    const refusal = unknownFate(error);
    this.#reply.refused(refusal);
    for (const { reply } of this.#replies ?? []) reply.refused(refusal);
  }

  /** Earlier posts are not pending any more either. */
  #isPendingNoMore(): void {
    this.before = undefined;
    if (this.#group.lastPost === this) this.#group.lastPost = undefined;
  }

  /** The same post arrived again while this one is on its way to the log. */
  alsoReply(reply: PostReply, isRepeat: boolean): void {
    (this.#replies ??= []).push({ reply, isRepeat });
  }

  #fanOut(): void {
    const { group, author, seq, rank, sentAt } = this;
    const frame = messageFrame(this.id, group, author, jsonString(this.text), seq, sentAt);
    const users = this.#group.members.keys();
    this.#shard.router.cast({ kind: "entry", group, seq, rank, frame, users, own: this.#post });
  }

  // ---- the handoff

  #handOff(): void {
    this.isHandedOver = true;
    try {
      this.#shard.router.handOff(this.#post.authorShard, this, this);
    } catch {
      this.notTaken();
    }
  }

  confirmed(): void {
    this.isConfirmed = true;
  }

  missing(): void {}

  notTaken(): void {
    this.#shard.offerSoon();
  }
}
