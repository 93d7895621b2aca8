/**
 * Messages of other nodes' shards, for shards of this node: hands them to the local router and sends the replies back
 * over the link on which they came. A message for a shard that is not here is answered with `notOwner`.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { shardOf } from "../../domain/address.ts";
import type { MessageIds } from "../../domain/message-id.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import type { Answers, Questions } from "../../home/messages/ask.ts";
import { decodeQuestion, encodeAnswer, type Asked } from "../../home/messages/codec/ask-codec.ts";
import { decodeCast } from "../../home/messages/codec/cast-codec.ts";
import { encodeMessage } from "../../home/messages/codec/codec.ts";
import { anyError } from "../../home/messages/codec/error-codec.ts";
import { decodeHandoff, encodeOutcome, type ToldOutcome } from "../../home/messages/codec/handoff-codec.ts";
import { decodePost, encodePostReply, type ToldPostReply } from "../../home/messages/codec/post-codec.ts";
import type { ShardRouter } from "../../home/messages/shard-router.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import { encodeEnvelope, KIND, type Envelope } from "./envelope.ts";
import type { Followers } from "./followers.ts";

export type ShardInboxParts = {
  readonly local: ShardRouter;
  /** Whether this node serves the shard now. */
  owns(shard: ShardId): boolean;
  mapVersion(): number;
  readonly followers: Followers;
  readonly ids: MessageIds;
  readonly clock: Clock;
  readonly logger: Logger;
};

export class ShardInbox {
  readonly #parts: ShardInboxParts;

  constructor(parts: ShardInboxParts) {
    this.#parts = parts;
  }

  /** @throws RangeError for bytes that no node sends */
  came(link: Link, envelope: Envelope): void {
    const { kind, id, shard, body } = envelope;
    if (kind === KIND.cast) return this.#parts.local.cast(decodeCast(body));
    if (!this.#parts.owns(shard)) return this.#reply(link, KIND.notOwner, id, shard);
    switch (kind) {
      case KIND.handoff:
        return this.#handoff(link, id, shard, body);
      case KIND.question:
        return this.#question(link, id, shard, body);
      case KIND.post:
        return this.#post(link, id, shard, body);
      default:
        throw new RangeError(`a message of kind ${kind} is for no shard`);
    }
  }

  #handoff(link: Link, id: number, shard: ShardId, body: Buffer): void {
    const { local, ids } = this.#parts;
    const handoff = decodeHandoff(body, ids);
    const tell = (told: ToldOutcome): void => this.#reply(link, KIND.outcome, id, shard, encodeOutcome(told));
    const notTaken = (error: unknown): void => tell({ kind: "notTaken", error });
    try {
      local.handOff(shard, handoff, {
        confirmed: (through, read = 0 as Seq) => tell({ kind: "confirmed", through, read }),
        missing: (through) => tell({ kind: "missing", through }),
        notTaken,
      });
    } catch (error) {
      notTaken(error);
    }
  }

  #question(link: Link, id: number, shard: ShardId, body: Buffer): void {
    const asked = decodeQuestion(body);
    if (shardOf(asked.to) !== shard) throw new RangeError(`a question for ${asked.to} names shard ${shard}`);
    this.#noteFollower(link, asked);
    const answered = (answer: Answers[Asked["kind"]]): void =>
      this.#reply(link, KIND.answer, id, shard, encodeAnswer(asked.kind, answer as never));
    const refused = (error: unknown): void => {
      // It is logged where it is answered to a client; the other node gets only the code and the words.
      this.#parts.logger.debug("a question of another node was refused", { kind: asked.kind, error });
      this.#reply(link, KIND.refusal, id, shard, encodeMessage(anyError, error));
    };
    try {
      const answer = this.#ask(asked);
      if (answer instanceof Promise) answer.then(answered).catch(refused);
      else answered(answer);
    } catch (error) {
      refused(error);
    }
  }

  #ask({ kind, to, question }: Asked): ReturnType<ShardRouter["ask"]> {
    return this.#parts.local.ask(kind, to, question);
  }

  /** From now on the node gets the casts of the group; the answer is read afterwards, so no entry is between them. */
  #noteFollower(link: Link, { kind, question }: Asked): void {
    if (kind !== "groupStanding") return;
    const { group } = question as Questions["groupStanding"];
    this.#parts.followers.follows(group, link.peer.node, this.#parts.clock.monotonicMs());
  }

  #post(link: Link, id: number, shard: ShardId, body: Buffer): void {
    const { group, post } = decodePost(body);
    if (shardOf(group) !== shard) throw new RangeError(`a post for ${group} names shard ${shard}`);
    const tell = (told: ToldPostReply): void => this.#reply(link, KIND.postReply, id, shard, encodePostReply(told));
    try {
      this.#parts.local.post(shard, group, post, {
        posted: (posted, isRepeat, groupLife) => tell({ kind: "posted", posted, isRepeat, groupLife }),
        missing: (round) => tell({ kind: "missing", round }),
        refused: (error) => tell({ kind: "refused", error }),
      });
    } catch (error) {
      if (error instanceof AppError) return tell({ kind: "refused", error });
      // The author's shard sends the post again, and gives it up in the end.
      this.#parts.logger.error("a post of another node could not be accepted", { group, error });
    }
  }

  /** A reply to a link that has ended is lost; the other node asks again. */
  #reply(link: Link, kind: Envelope["kind"], id: number, shard: ShardId, body?: Buffer): void {
    link.send(PRIORITY.messages, encodeEnvelope(kind, this.#parts.mapVersion(), id, shard, body));
  }
}
