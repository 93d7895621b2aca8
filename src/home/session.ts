/** A connected device, as its user's home sees it. The socket or the waiting poll behind it may be at another node. */
import type { Steps } from "../base/steps.ts";
import type { DeviceId, GroupAddress, UserId } from "../domain/address.ts";
import type { CloseCode } from "../protocol/codes.ts";

/** Where an entry stands: in the user's timeline, or in a group's log. */
export type EntryPlace = "timeline" | GroupAddress;

export type Session = {
  readonly user: UserId;
  readonly device: DeviceId;
  /**
   * An entry became durable. Called in the order of each stream, without holes, from the moment the session is
   * attached.
   * @param mayGather the frame may wait a few milliseconds for others, so that they share a write: it goes to very many
   */
  entry(place: EntryPlace, seq: number, frame: string, mayGather?: boolean): void;
  /** Any frame that is no entry: receipts. A frame with a `mark` is brought back by a cursor's `marks`. */
  notice(frame: string, mark?: number): void;
  /**
   * @param afterMs when to come back, for codes that ask for it
   * @param url where to come back, for a client that is connected to this node itself
   */
  close(code: CloseCode, reason: string, afterMs?: number, url?: string): void;
};

/** Closes sessions in steps: each close is a `bye` and a write to the kernel, and there may be very many. */
export function* closeAll(
  sessions: Iterable<Pick<Session, "close">>,
  code: CloseCode,
  reason: string,
  afterMs: number,
): Steps<void> {
  for (const session of [...sessions]) {
    session.close(code, reason, afterMs);
    yield;
  }
}
