/**
 * The port through which a shard reaches others. On one node it is a call in the same turn of the event loop, without a
 * promise, an encoding or a copy. Callers must not rely on that: a handoff may be lost, repeated, late or overtaken; an
 * ask may take long or fail; a cast may be lost.
 */
import type { Address, GroupAddress, UserId } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Answers, Questions } from "./ask.ts";
import type { Cast } from "./cast.ts";
import type { Handoff, HandoffOutcome } from "./handoff.ts";
import type { Post, PostReply } from "./post.ts";

export type ShardRouter = {
  /**
   * Hands the handoff over together with the record that it follows from, which is appended and not yet durable. Works
   * only if both shards are in one log: then neither is durable without the record before it.
   * @returns false if they are not in one log. Then `handOff` it once the record is durable, since the receiver must
   * not have what its sender may lose in a crash
   * @throws AppError unavailable if the shard is known not to accept it; then nothing was handed over
   */
  handOffAlong(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): boolean;

  /**
   * Hands over what is durable at its sender. @throws AppError unavailable if the shard is known not to accept it; then
   * nothing was handed over
   */
  handOff(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void;

  /**
   * Asks the shard of `to`. The answer is a value or a promise. Repeating a question is harmless.
   * @throws AppError, at once or by the promise: the refusal of the shard, or unavailable if it does not answer in time
   */
  ask<Kind extends keyof Questions>(
    kind: Kind,
    to: Address,
    question: Questions[Kind],
  ): Answers[Kind] | Promise<Answers[Kind]>;

  /**
   * An ask on the way of a message: `reply` is called when the post is durable in the group's log, or refused.
   * @returns whether `reply` is certain to be called: then the post need not be sent again
   */
  post(to: ShardId, group: GroupAddress, post: Post, reply: PostReply): boolean;

  /** Best effort: a node that misses the cast notices, or does not need it. */
  cast(cast: Cast): void;

  /** False only if it is known that none of the users, except `except`, is connected: then no cast is needed. */
  mayReach(users: Iterable<UserId>, except: UserId): boolean;
};
