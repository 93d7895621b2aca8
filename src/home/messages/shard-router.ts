/**
 * The port through which a shard reaches others. On one node it is a call in the same turn of the event loop, without a promise, an encoding or a copy. Nothing may rely on
 * that: a handoff may be lost, repeated, late or overtaken, an ask may take long or fail, a cast may be lost.
 */
import type { Address, GroupAddress, UserId } from "../../domain/address.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Answers, Questions } from "./ask.ts";
import type { Cast } from "./cast.ts";
import type { Handoff, HandoffOutcome } from "./handoff.ts";
import type { Post, PostReply } from "./post.ts";

export type ShardRouter = {
  /**
   * Takes the handoff along with the record that it follows from, which is appended and not yet durable: where both shards are in one log, none is durable without the
   * record before it.
   * @returns false where they are not. Then it is for `handOff`, when the record is durable: nobody may have what its sender loses in a crash
   * @throws AppError unavailable when it is known at once that the shard cannot take it; then nothing was handed over
   */
  handOffAlong(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): boolean;

  /** What it says is durable at its sender. @throws AppError unavailable when it is known at once that the shard cannot take it; then nothing was handed over */
  handOff(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void;

  /**
   * Asks the shard of `to`. The answer is at hand, or comes later. Repeating a question is harmless.
   * @throws AppError, at once or by the promise: what the shard refuses with, or unavailable when it does not answer in time
   */
  ask<Kind extends keyof Questions>(
    kind: Kind,
    to: Address,
    question: Questions[Kind],
  ): Answers[Kind] | Promise<Answers[Kind]>;

  /**
   * An ask on the way of a message: `reply` is told when the post is durable in the group's log or refused.
   * @returns whether it certainly will be told: then the post need not be sent again
   */
  post(to: ShardId, group: GroupAddress, post: Post, reply: PostReply): boolean;

  /** Best effort: who misses it notices, or does not need it. */
  cast(cast: Cast): void;

  /** False only when it is known that none of the users, but `except`, is connected: then nothing has to be cast to them. */
  mayReach(users: Iterable<UserId>, except: UserId): boolean;
};
