/**
 * A long poll that waits: a session from its beginning until an entry has come, the time is up, the caller has gone, or
 * the device is logged out. Thousands may wait, so it holds as little as it can.
 */
import { AppError } from "../../base/errors.ts";
import type { CloseCode } from "../../protocol/codes.ts";
import type { DeviceId, UserId } from "../../domain/address.ts";
import type { Actor } from "../services.ts";
import type { Session } from "../session.ts";
import type { Shard } from "../shard.ts";

const NO_NOTICES: readonly string[] = [];

export class WaitingPoll implements Session {
  readonly user: UserId;
  readonly device: DeviceId;
  /**
   * Resolves with the first notices that no cursor would bring back (receipts in groups), or with none. Rejects with
   * AppError if the device is logged out or the node goes away.
   */
  readonly notices: Promise<readonly string[]>;
  readonly #shard: Shard;
  readonly #signal: AbortSignal;
  #heard: string[] | undefined;
  #isEnding = false;
  #cancel: (() => void) | undefined;
  #resolve!: (notices: readonly string[]) => void;
  #reject!: (error: AppError) => void;

  constructor(shard: Shard, { user, device }: Actor, waitMs: number, signal: AbortSignal) {
    this.user = user;
    this.device = device;
    this.#shard = shard;
    this.#signal = signal;
    this.notices = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal.aborted) this.#resolve(NO_NOTICES);
    else this.#begin(waitMs);
  }

  #begin(waitMs: number): void {
    this.#cancel = this.#shard.clock.after(waitMs, () => this.#end());
    this.#signal.addEventListener("abort", this);
    this.#shard.attach(this);
  }

  /** The caller has gone. */
  handleEvent(): void {
    this.#heard = undefined;
    this.#end();
  }

  /** Entries of one commit are answered together: waits until the whole commit has been applied. */
  entry(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    setImmediate(() => this.#end());
  }

  notice(frame: string, mark?: number): void {
    // Receipts with a mark are read again from the cursor's marks.
    if (mark === undefined) (this.#heard ??= []).push(frame);
    this.entry();
  }

  close(_code: CloseCode, reason: string, afterMs?: number): void {
    this.#leave();
    this.#reject(closedError(reason, afterMs));
  }

  #end(): void {
    this.#leave();
    this.#resolve(this.#heard ?? NO_NOTICES);
  }

  #leave(): void {
    this.#shard.detach(this);
    this.#cancel?.();
    this.#signal.removeEventListener("abort", this);
  }
}

/** With a delay the client may come back; without one it was logged out. */
function closedError(reason: string, afterMs: number | undefined): AppError {
  return afterMs === undefined
    ? new AppError("unauthorized", reason)
    : new AppError("unavailable", reason, { retryAfterMs: afterMs });
}
