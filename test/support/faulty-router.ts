/**
 * The worst that a router may be: what crosses between two shards is lost, comes twice, late, or in another order, as a seed says, and for a while nothing crosses between
 * two shards at all. Everything crosses as bytes, so no object of one shard is in the hands of another.
 *
 * A node that crashes leaves what is under way: it comes to the one that is started after it, whose outcome nobody hears of.
 */
import { AppError } from "../../src/base/errors.ts";
import { shardOf, userAddress, type Address, type GroupAddress } from "../../src/domain/address.ts";
import type { MessageIds } from "../../src/domain/message-id.ts";
import type { Answers, Questions } from "../../src/home/messages/ask.ts";
import type { Cast } from "../../src/home/messages/cast.ts";
import {
  decodeAnswer,
  decodeQuestion,
  encodeAnswer,
  encodeQuestion,
  type Asked,
} from "../../src/home/messages/codec/ask-codec.ts";
import { decodeCast, encodeCast } from "../../src/home/messages/codec/cast-codec.ts";
import {
  decodeHandoff,
  decodeOutcome,
  encodeHandoff,
  encodeOutcome,
  type ToldOutcome,
} from "../../src/home/messages/codec/handoff-codec.ts";
import {
  decodePost,
  decodePostReply,
  encodePost,
  encodePostReply,
  type ToldPostReply,
} from "../../src/home/messages/codec/post-codec.ts";
import { appError } from "../../src/home/messages/codec/error-codec.ts";
import { decodeMessage, encodeMessage } from "../../src/home/messages/codec/codec.ts";
import type { Handoff, HandoffOutcome } from "../../src/home/messages/handoff.ts";
import type { Post, PostReply } from "../../src/home/messages/post.ts";
import type { ShardRouter } from "../../src/home/messages/shard-router.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { OwedHandoffs } from "./owed-handoffs.ts";
import type { End, FaultyWire } from "./faulty-wire.ts";

const ASK_TICKS_MAX = 120;

export type FaultyRouterOptions = {
  /** A question is asked again after so many ticks without an answer, until there is one. Absent: it is asked once, and fails. */
  askAgainTicks?: number;
};

export class FaultyRouter {
  readonly wire: FaultyWire;
  /** For nodes whose mirrors can bear it. */
  hasFaultyCasts = false;
  /** How long after a cast was lost its receivers have found that out. */
  castsFoundMs = 0;
  #castLostMs = Number.NEGATIVE_INFINITY;
  readonly #ids: () => MessageIds;
  readonly #askAgainTicks: number | undefined;
  #local: ShardRouter | undefined;
  readonly #owed = new OwedHandoffs();

  constructor(wire: FaultyWire, ids: () => MessageIds, { askAgainTicks }: FaultyRouterOptions = {}) {
    this.wire = wire;
    this.#ids = ids;
    this.#askAgainTicks = askAgainTicks;
  }

  /** The node is killed: what it still says nobody hears, and what comes to it is lost until another one is started. */
  down(): void {
    this.#local = undefined;
    this.#owed.clear();
  }

  /** What is under way has come. */
  get isIdle(): boolean {
    return this.wire.isIdle;
  }

  /** Nothing is under way, and nobody has to be told anything again. */
  get isSettled(): boolean {
    const areCastsFound = performance.now() - this.#castLostMs >= this.castsFoundMs;
    return this.wire.isIdle && this.#owed.isEmpty && areCastsFound;
  }

  /** Around the router of a node that has just been started, as often as one is. */
  readonly around = (local: ShardRouter): ShardRouter => {
    this.#local = local;
    return {
      handOffAlong: (to, handoff, outcome) => to === originOf(handoff) && local.handOffAlong(to, handoff, outcome),
      handOff: (to, handoff, outcome) => {
        if (to === originOf(handoff)) return local.handOff(to, handoff, outcome);
        this.#handOff(local, to, handoff, outcome);
      },
      ask: (kind, to, question) => this.#ask(local, kind, to, question),
      post: (to, group, post, reply) => {
        if (to === post.authorShard) return local.post(to, group, post, reply);
        this.#post(local, to, group, post, reply);
        return false;
      },
      cast: (cast: Cast) => {
        const bytes = encodeCast(cast);
        // A lost notice is not told again: who sees receipts live is no guarantee.
        if (!this.hasFaultyCasts || cast.kind === "notice") return local.cast(decodeCast(bytes));
        const { lost } = this.wire.counts;
        this.#carry(local, undefined, undefined, bytes, (carried, receiver) => receiver.cast(decodeCast(carried)));
        if (this.wire.counts.lost > lost) this.#castLostMs = performance.now();
      },
      mayReach: (users, except) => local.mayReach(users, except),
    };
  };

  #handOff(sender: ShardRouter, to: ShardId, handoff: Handoff, outcome: HandoffOutcome): void {
    const from = originOf(handoff);
    const written = encodeHandoff(handoff);
    const owed = this.#owed.add(handoff, written);
    this.#carry(sender, from, to, written, (bytes, receiver) => {
      const tell = (told: ToldOutcome): void =>
        this.#carry(receiver, to, from, encodeOutcome(told), (back, there) => {
          if (there !== sender) return;
          if (told.kind === "confirmed") owed(told.through);
          tellOutcome(outcome, decodeOutcome(back));
        });
      try {
        receiver.handOff(to, decodeHandoff(bytes, this.#ids()), {
          confirmed: (through, read = 0 as Seq) => tell({ kind: "confirmed", through, read }),
          missing: (through) => tell({ kind: "missing", through }),
          notTaken: (error) => tell({ kind: "notTaken", error }),
        });
      } catch (error) {
        tell({ kind: "notTaken", error });
      }
    });
  }

  #ask<Kind extends keyof Questions>(
    sender: ShardRouter,
    kind: Kind,
    to: Address,
    question: Questions[Kind],
  ): Promise<Answers[Kind]> {
    const there = shardOf(to);
    const { promise, resolve, reject } = Promise.withResolvers<Answers[Kind]>();
    let isOver = false;
    const end = (tell: () => void): void => {
      isOver = true;
      tell();
    };
    const ask = (): void =>
      this.#carry(sender, undefined, there, encodeQuestion({ kind, to, question }), (bytes, receiver) => {
        void answered(receiver, decodeQuestion(bytes)).then((answer) =>
          this.#carry(receiver, there, undefined, answer.bytes, (back, asker) => {
            if (asker !== sender) return;
            if (answer.isError) end(() => reject(decodeMessage(appError, back)));
            else end(() => resolve(decodeAnswer(kind, back)));
          }),
        );
      });
    const wait = (): void =>
      this.wire.after(this.#askAgainTicks ?? ASK_TICKS_MAX, () => {
        if (isOver) return;
        if (this.#askAgainTicks === undefined || this.#local !== sender)
          return end(() => reject(new AppError("unavailable", `${to} does not answer`)));
        ask();
        wait();
      });
    ask();
    wait();
    return promise;
  }

  #post(sender: ShardRouter, to: ShardId, group: GroupAddress, post: Post, reply: PostReply): void {
    const from = post.authorShard;
    this.#carry(sender, from, to, encodePost({ group, post }), (bytes, receiver) => {
      const tell = (told: ToldPostReply): void =>
        this.#carry(receiver, to, from, encodePostReply(told), (back, there) => {
          if (there === sender) tellReply(reply, decodePostReply(back));
        });
      const sent = decodePost(bytes);
      try {
        receiver.post(to, sent.group, sent.post, {
          posted: (posted, isRepeat, groupLife) => tell({ kind: "posted", posted, isRepeat, groupLife }),
          missing: (round) => tell({ kind: "missing", round }),
          refused: (error) => tell({ kind: "refused", error }),
        });
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        tell({ kind: "refused", error });
      }
    });
  }

  /** From a node that is up to the one that is up then. */
  #carry(
    sender: ShardRouter,
    from: End,
    to: End,
    bytes: Buffer,
    deliver: (bytes: Buffer, receiver: ShardRouter) => void,
  ): void {
    if (this.#local !== sender) return;
    this.wire.carry(from, to, bytes, (carried) => {
      if (this.#local !== undefined) deliver(carried, this.#local);
    });
  }
}

async function answered(
  there: ShardRouter,
  { kind, to, question }: Asked,
): Promise<{ isError: boolean; bytes: Buffer }> {
  try {
    return { isError: false, bytes: encodeAnswer(kind, await there.ask(kind, to, question)) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { isError: true, bytes: encodeMessage(appError, error) };
  }
}

function tellOutcome(outcome: HandoffOutcome, told: ToldOutcome): void {
  if (told.kind === "confirmed") outcome.confirmed(told.through, told.read);
  else if (told.kind === "missing") outcome.missing(told.through);
  else outcome.notTaken(told.error);
}

function tellReply(reply: PostReply, told: ToldPostReply): void {
  if (told.kind === "posted") reply.posted(told.posted, told.isRepeat, told.groupLife);
  else if (told.kind === "missing") reply.missing(told.round);
  else reply.refused(told.error);
}

/** The shard that hands it over. */
function originOf(handoff: Handoff): ShardId {
  switch (handoff.kind) {
    case "message":
    case "peerMark":
      return shardOf(handoff.from);
    case "posted":
    case "membership":
      return shardOf(handoff.group);
    case "memberMark":
      return shardOf(userAddress(handoff.user));
  }
}
