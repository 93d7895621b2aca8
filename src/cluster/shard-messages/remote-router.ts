/**
 * The router of a node that owns some of the shards. For its own shards it is the local router; what is for others goes
 * over a link to their owner, as bytes. What comes from there, shard-inbox.ts does.
 *
 * Nothing here makes messages reliable: what is lost with a link, or not replied to in time, is offered, asked or sent
 * again by the shards (home/messages/shard-router.ts says what they may expect).
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { shardOf, userAddress, type Address, type GroupAddress, type UserId } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Answers, Questions } from "../../home/messages/ask.ts";
import type { Cast } from "../../home/messages/cast.ts";
import { decodeAnswer, encodeQuestion } from "../../home/messages/codec/ask-codec.ts";
import { encodeCast } from "../../home/messages/codec/cast-codec.ts";
import { decodeMessage } from "../../home/messages/codec/codec.ts";
import { appError } from "../../home/messages/codec/error-codec.ts";
import { decodeOutcome, encodeHandoff } from "../../home/messages/codec/handoff-codec.ts";
import { decodePostReply, encodePost } from "../../home/messages/codec/post-codec.ts";
import type { Handoff, HandoffOutcome } from "../../home/messages/handoff.ts";
import type { Post, PostReply } from "../../home/messages/post.ts";
import type { ShardRouter } from "../../home/messages/shard-router.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import type { NodeId } from "../map/partition-map.ts";
import { AwaitedReplies, type Awaited } from "./awaited.ts";
import { encodeEnvelope, KIND, type Envelope } from "./envelope.ts";
import type { Followers } from "./followers.ts";

/** A question is answered within this time, or fails. */
export const ASK_MS = 8000;
/** A handoff is offered again and a post is sent again long before. */
const REPLY_MS = 60_000;
const EXPIRE_MS = 500;
const HANDOFFS_MAX = 200_000;
const POSTS_MAX = 200_000;
const ASKS_MAX = 50_000;
/** How often an ask goes to another node because the map has changed. */
const HOPS_MAX = 3;
const HOP_WAIT_MS = 30;
const RETRY_MS = 500;

export type RemoteRouterParts = {
  readonly local: ShardRouter;
  /** Owner of a shard by the map of this moment; undefined if it is this node. */
  ownerOf(shard: ShardId): NodeId | undefined;
  mapVersion(): number;
  linkTo(node: NodeId): Link | undefined;
  readonly followers: Followers;
  readonly clock: Clock;
  /** Above the ids of a router before this one, whose replies may still come. */
  readonly firstId: number;
};

type AwaitedOutcome = Awaited & { readonly outcome: HandoffOutcome };
type AwaitedPostReply = Awaited & { readonly reply: PostReply };
type AwaitedAnswer = Awaited & {
  answered(body: Buffer): void;
  refused(error: AppError): void;
  notOwner(): void;
};

export class RemoteRouter implements ShardRouter {
  readonly #parts: RemoteRouterParts;
  readonly #outcomes = new AwaitedReplies<AwaitedOutcome>(HANDOFFS_MAX);
  readonly #posts = new AwaitedReplies<AwaitedPostReply>(POSTS_MAX);
  readonly #answers = new AwaitedReplies<AwaitedAnswer>(ASKS_MAX);
  #lastId: number;
  #cancelExpire: (() => void) | undefined;
  #isStopped = false;

  constructor(parts: RemoteRouterParts) {
    this.#parts = parts;
    this.#lastId = parts.firstId - 1;
  }

  get nextId(): number {
    return this.#lastId + 1;
  }

  /**
   * Everything that is still waited for is given up. Nothing that gets a reply is sent any more: the next router counts
   * on with the ids, and would take the reply to a message of this one for that to one of its own.
   */
  stop(): void {
    this.#isStopped = true;
    this.#cancelExpire?.();
    for (const replies of [this.#outcomes, this.#posts, this.#answers]) replies.expire(Number.POSITIVE_INFINITY);
  }

  // ---- ShardRouter

  /** Shards of two nodes are never in one log. */
  handOffAlong(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): boolean {
    if (this.#parts.ownerOf(to) !== undefined) return false;
    return this.#parts.local.handOffAlong(to, handoff, outcome);
  }

  handOff(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void {
    const owner = this.#parts.ownerOf(to);
    if (owner === undefined) return this.#parts.local.handOff(to, handoff, outcome);
    const link = this.#parts.linkTo(owner);
    if (link === undefined || this.#isStopped || this.#outcomes.isFull) throw outOfReach(owner);
    const id = ++this.#lastId;
    this.#outcomes.add(id, { link, until: this.#until(REPLY_MS), outcome, lost: () => {} });
    this.#send(link, KIND.handoff, id, to, encodeHandoff(handoff));
    this.#expireLater();
  }

  ask<Kind extends keyof Questions>(
    kind: Kind,
    to: Address,
    question: Questions[Kind],
  ): Answers[Kind] | Promise<Answers[Kind]> {
    if (this.#parts.ownerOf(shardOf(to)) === undefined) return this.#parts.local.ask(kind, to, question);
    const { promise, resolve, reject } = Promise.withResolvers<Answers[Kind]>();
    const body = encodeQuestion({ kind, to, question });
    const answered = (bytes: Buffer): void => {
      try {
        resolve(decodeAnswer(kind, bytes));
      } catch (error) {
        reject(error);
      }
    };
    const again = (): Answers[Kind] | Promise<Answers[Kind]> => this.#parts.local.ask(kind, to, question);
    this.#ask(shardOf(to), body, this.#until(ASK_MS), HOPS_MAX, {
      answered,
      refused: reject,
      // The shard has come to this node meanwhile.
      here: () => void Promise.try(again).then(resolve, reject),
    });
    return promise;
  }

  post(to: ShardId, group: GroupAddress, post: Post, reply: PostReply): boolean {
    const owner = this.#parts.ownerOf(to);
    if (owner === undefined) {
      this.#parts.local.post(to, group, post, reply);
      // The shard may move away, and forget posts that wait for an earlier one.
      return false;
    }
    const link = this.#parts.linkTo(owner);
    // The post is sent again, or given up, by its shard.
    if (link === undefined || this.#isStopped || this.#posts.isFull) return false;
    const id = ++this.#lastId;
    this.#posts.add(id, { link, until: this.#until(REPLY_MS), reply, lost: () => {} });
    this.#send(link, KIND.post, id, to, encodePost({ group, post }));
    this.#expireLater();
    return false;
  }

  cast(cast: Cast): void {
    switch (cast.kind) {
      case "entry":
        return this.#castEntry(cast);
      case "postedBytes": {
        const owner = this.#parts.ownerOf(cast.authorShard);
        if (owner === undefined) return this.#parts.local.cast(cast);
        return this.#castTo(owner, encodeCast(cast));
      }
      case "notice":
        return this.#castNotice(cast);
    }
  }

  /** Whoever is connected at other nodes is not known here. */
  mayReach(users: Iterable<UserId>, except: UserId): boolean {
    const here = this.#parts.local;
    for (const user of users) {
      if (user === except) continue;
      if (this.#parts.ownerOf(shardOf(userAddress(user))) !== undefined) return true;
      if (here.mayReach([user], except)) return true;
    }
    return false;
  }

  // ---- casts

  #castEntry(cast: Extract<Cast, { kind: "entry" }>): void {
    this.#parts.local.cast(cast);
    const followers = this.#parts.followers.of(cast.group);
    if (followers === undefined || followers.size === 0) return;
    // A mirror knows its members, so the list stays here.
    const bytes = encodeCast({ ...cast, users: [] });
    const now = this.#parts.clock.monotonicMs();
    for (const [node, until] of followers) if (until > now) this.#castTo(node, bytes);
  }

  #castNotice(cast: Extract<Cast, { kind: "notice" }>): void {
    const here: UserId[] = [];
    const elsewhere = new Map<NodeId, UserId[]>();
    for (const user of cast.users) {
      const owner = this.#parts.ownerOf(shardOf(userAddress(user)));
      if (owner === undefined) here.push(user);
      else if (elsewhere.has(owner)) elsewhere.get(owner)!.push(user);
      else elsewhere.set(owner, [user]);
    }
    if (here.length > 0) this.#parts.local.cast({ ...cast, users: here });
    for (const [node, users] of elsewhere) this.#castTo(node, encodeCast({ ...cast, users }));
  }

  #castTo(node: NodeId, bytes: Buffer): void {
    const link = this.#parts.linkTo(node);
    if (link !== undefined) this.#send(link, KIND.cast, 0, 0 as ShardId, bytes);
  }

  // ---- asks

  #ask(
    shard: ShardId,
    body: Buffer,
    until: number,
    hopsLeft: number,
    reply: { answered(body: Buffer): void; refused(error: AppError): void; here(): void },
  ): void {
    const owner = this.#parts.ownerOf(shard);
    if (owner === undefined) return reply.here();
    const hop = (error: AppError): void => {
      const isOver = hopsLeft === 0 || this.#isStopped || this.#parts.clock.monotonicMs() + HOP_WAIT_MS >= until;
      if (isOver) return reply.refused(error);
      this.#parts.clock.after(HOP_WAIT_MS, () => this.#ask(shard, body, until, hopsLeft - 1, reply));
    };
    const link = this.#parts.linkTo(owner);
    if (link === undefined || this.#isStopped || this.#answers.isFull) return hop(outOfReach(owner));
    const id = ++this.#lastId;
    this.#answers.add(id, {
      link,
      until,
      answered: reply.answered,
      refused: reply.refused,
      notOwner: () => hop(outOfReach(owner)),
      lost: (why) => (why === "link" ? hop(outOfReach(owner)) : reply.refused(outOfReach(owner))),
    });
    this.#send(link, KIND.question, id, shard, body);
    this.#expireLater();
  }

  // ---- replies

  linkClosed(link: Link): void {
    for (const replies of [this.#outcomes, this.#posts, this.#answers]) replies.linkClosed(link);
  }

  /** A reply that came over a link. @throws RangeError for bytes that no node sends */
  replied(link: Link, { kind, id, body }: Envelope): void {
    switch (kind) {
      case KIND.outcome: {
        const awaited = this.#outcomes.take(id, link);
        if (awaited !== undefined) tellOutcome(awaited.outcome, body);
        return;
      }
      case KIND.postReply:
        return this.#postReplied(link, id, body);
      case KIND.answer:
        return this.#answers.take(id, link)?.answered(body);
      case KIND.refusal:
        return this.#answers.take(id, link)?.refused(decodeMessage(appError, body));
      case KIND.notOwner:
        return this.#notOwner(link, id);
      default:
        throw new RangeError(`a message of kind ${kind} is no reply`);
    }
  }

  #postReplied(link: Link, id: number, body: Buffer): void {
    const told = decodePostReply(body);
    // After `missing` the post may still be answered.
    const awaited = told.kind === "missing" ? this.#posts.get(id, link) : this.#posts.take(id, link);
    if (awaited === undefined) return;
    const { reply } = awaited;
    if (told.kind === "posted") reply.posted(told.posted, told.isRepeat, told.groupLife);
    else if (told.kind === "missing") reply.missing(told.round);
    else reply.refused(told.error);
  }

  #notOwner(link: Link, id: number): void {
    this.#posts.take(id, link);
    this.#outcomes.take(id, link)?.outcome.notTaken(outOfReach(link.peer.node));
    this.#answers.take(id, link)?.notOwner();
  }

  // ---- the rest

  #send(link: Link, kind: Envelope["kind"], id: number, shard: ShardId, body: Buffer): void {
    link.send(PRIORITY.messages, encodeEnvelope(kind, this.#parts.mapVersion(), id, shard, body));
  }

  #until(ms: number): number {
    return this.#parts.clock.monotonicMs() + ms;
  }

  #expireLater(): void {
    if (this.#cancelExpire !== undefined || this.#isStopped) return;
    this.#cancelExpire = this.#parts.clock.after(EXPIRE_MS, () => {
      this.#cancelExpire = undefined;
      const all = [this.#outcomes, this.#posts, this.#answers];
      for (const replies of all) replies.expire(this.#parts.clock.monotonicMs());
      if (all.some(({ isEmpty }) => !isEmpty)) this.#expireLater();
    });
  }
}

function tellOutcome(outcome: HandoffOutcome, body: Buffer): void {
  const told = decodeOutcome(body);
  if (told.kind === "confirmed") outcome.confirmed(told.through, told.read);
  else if (told.kind === "missing") outcome.missing(told.through);
  else outcome.notTaken(told.error);
}

const outOfReach = (node: NodeId): AppError =>
  new AppError("unavailable", `node ${node} cannot be reached now; try again`, { retryAfterMs: RETRY_MS });
