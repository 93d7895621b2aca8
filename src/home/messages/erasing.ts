/** Asks of erasures: their questions and answers. */
import type { Address, UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

/** What a request to erase a user's content covers in one stream, from a position on. */
export type ContentToErase = {
  readonly user: UserId;
  /** Number of the request among the requests of the user. */
  readonly request: number;
  /** The user's own timeline, the timeline of another user, or a group's log. */
  readonly stream: Address;
  /** Where the request ends: in a group as a seq of its log, otherwise as a seq of the user's own timeline. */
  readonly through: Seq;
  /**
   * For another user's timeline: seq of the last covered message to that user, in the requesting user's timeline;
   * otherwise 0. Messages through it that arrive after the erasure are not accepted.
   */
  readonly last: Seq;
  /** Seq of the stream: entries through it are not looked at. */
  readonly after: Seq;
};

/** Everything counted here is durable. */
export type ContentErased = {
  /** How many messages of the stream this request has erased so far, over all questions. */
  readonly entries: number;
  /** How many ranges of entries this question has erased. */
  readonly ranges: number;
  /** Seq of the stream behind which to continue. Equal to `after` if nothing can be erased at the moment. */
  readonly through: Seq;
  readonly isDone: boolean;
};
