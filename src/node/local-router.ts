/**
 * The router of one node that owns all shards: a call in the same turn of the event loop. So the records of a command
 * and of the handoffs that it causes are in the same frame of the log. No other code relies on that.
 */
import type { Steps, StepTurns } from "../base/steps.ts";
import { shardOf, type Address, type GroupAddress, type UserId } from "../domain/address.ts";
import type { ShardId } from "../../storage/types.ts";
import { ANSWERERS } from "../home/asks/answerers.ts";
import type { Connected } from "../home/connected.ts";
import type { GroupMirrors } from "../home/group-mirror.ts";
import type { Answers, Questions } from "../home/messages/ask.ts";
import type { Cast } from "../home/messages/cast.ts";
import type { Handoff, HandoffOutcome } from "../home/messages/handoff.ts";
import type { Post, PostReply } from "../home/messages/post.ts";
import type { ShardRouter } from "../home/messages/shard-router.ts";
import { acceptPost } from "../home/sending/accept-post.ts";
import type { Shard } from "../home/shard.ts";
import { takePostedBytes } from "../home/sending/stored-counts.ts";
import { refusalOf } from "../home/refusal-of.ts";
import { FencedError } from "../../storage/errors.ts";
import { takeHandoff } from "../home/handoffs/take-handoff.ts";

export type LocalRouterParts = {
  /** @throws AppError unavailable for a shard that is closed */
  shard(id: ShardId): Shard;
  /** Whether one log has the records of all shards, as in `ShardLog.isOneOrder`. */
  isOneOrder(): boolean;
  connected: Connected;
  mirrors: GroupMirrors;
  turns: StepTurns;
};

export class LocalRouter implements ShardRouter {
  readonly #shard: (id: ShardId) => Shard;
  readonly #isOneOrder: () => boolean;
  readonly #connected: Connected;
  readonly #mirrors: GroupMirrors;
  readonly #turns: StepTurns;

  constructor({ shard, isOneOrder, connected, mirrors, turns }: LocalRouterParts) {
    this.#shard = shard;
    this.#isOneOrder = isOneOrder;
    this.#connected = connected;
    this.#mirrors = mirrors;
    this.#turns = turns;
  }

  /** A log that is not one order may lose the sender's record and have the receiver's. */
  handOffAlong(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): boolean {
    if (!this.#isOneOrder()) return false;
    takeHandoff(this.#shard(to), handoff, outcome);
    return true;
  }

  handOff(to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void {
    takeHandoff(this.#shard(to), handoff, outcome);
  }

  ask<Kind extends keyof Questions>(
    kind: Kind,
    to: Address,
    question: Questions[Kind],
  ): Answers[Kind] | Promise<Answers[Kind]> {
    const answerer = ANSWERERS[kind] as (shard: Shard, question: Questions[Kind]) => Steps<Answers[Kind]>;
    return unlessMoved(() => soon(answerer(this.#shard(shardOf(to)), question), this.#turns));
  }

  post(to: ShardId, group: GroupAddress, post: Post, reply: PostReply): boolean {
    acceptPost(this.#shard(to), group, post, reply);
    return true;
  }

  cast(cast: Cast): void {
    switch (cast.kind) {
      case "entry":
        return this.#mirrors.entry(cast);
      case "postedBytes":
        return takePostedBytes(this.#shard(cast.authorShard), cast);
      case "notice":
        for (const user of cast.users) for (const session of this.#connected.of(user) ?? []) session.notice(cast.frame);
    }
  }

  mayReach(users: Iterable<UserId>, except: UserId): boolean {
    for (const user of users) if (user !== except && this.#connected.of(user) !== undefined) return true;
    return false;
  }
}

/** A shard that has moved to another node while it answered can be asked there. */
function unlessMoved<Answer>(ask: () => Answer | Promise<Answer>): Answer | Promise<Answer> {
  try {
    const answer = ask();
    return answer instanceof Promise ? answer.catch((error: unknown) => throwMoved(error)) : answer;
  } catch (error) {
    return throwMoved(error);
  }
}

function throwMoved(error: unknown): never {
  throw error instanceof FencedError ? refusalOf(error)! : error;
}

/** Returns the answer itself if the first step is the last one. */
function soon<Answer>(steps: Steps<Answer>, turns: StepTurns): Answer | Promise<Answer> {
  const first = steps.next();
  if (first.done === true) return first.value;
  const { value } = first;
  if (value === undefined) return turns.run(steps);
  const goOn = (): Promise<Answer> => turns.run(steps);
  return value.then(goOn, goOn);
}
