/** Asks of erasures: their questions and answers. */
import type { Address, UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

/** What a request to erase the content of a user means in one stream, from a position on. */
export type ContentToErase = {
  readonly user: UserId;
  /** Tells the requests of the user apart. */
  readonly request: number;
  /** The user's own timeline, that of somebody else, or a group's log. */
  readonly stream: Address;
  /** Where the request ends: in a group as a seq of its log, otherwise as a seq of the user's own timeline. */
  readonly through: Seq;
  /** Of somebody else's timeline: seq of the last message to them that is meant, in the user's own timeline; otherwise 0. One that is on its way there may not come behind the erasure. */
  readonly last: Seq;
  /** Seq of the stream: what stands up to it is not looked at. */
  readonly after: Seq;
};

/** All that is counted here is durable. */
export type ContentErased = {
  /** How many messages of the stream went for this request so far, whoever asked, and however often. */
  readonly entries: number;
  /** How many ranges of entries went with this question. */
  readonly ranges: number;
  /** Seq of the stream: behind it is to be gone on. The same as `after` when nothing can be erased at the moment. */
  readonly through: Seq;
  readonly isDone: boolean;
};
