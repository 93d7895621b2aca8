/** A message between "numbered" and "durable", and the callers that wait for it. */
import type { Address } from "../../domain/address.ts";
import type { AppError } from "../../base/errors.ts";
import type { Seq } from "../../../storage/types.ts";
import type { Session } from "../session.ts";

/**
 * What is told of a message once it is durable. `seq` is the sender's: in the timeline, or in the group's log. If the
 * message was erased since, `text` is undefined, `sentAt` 0, and `deletedAt` says when.
 */
export type Sent = {
  ref: string;
  id: string;
  to: Address;
  seq: Seq;
  sentAt: number;
  text: string | undefined;
  deletedAt?: number;
};

/** Gets the result of one send. */
export type SendReply = {
  /** The session that gets `sent`, and therefore no `message`. */
  readonly session: Session | undefined;
  sent(sent: Sent, isDuplicate: boolean): void;
  refused(ref: string, error: AppError): void;
};

export type SendRequest = { ref: string; to: Address; text: string; retry: boolean };

export type PendingSend = {
  readonly reply: SendReply;
  readonly ref: string;
  readonly to: Address;
  readonly text: string;
  /** In UTF-8. */
  readonly textBytes: number;
  /** Repeats of the ref that came while it was on its way. */
  repeats: SendReply[] | undefined;
};
