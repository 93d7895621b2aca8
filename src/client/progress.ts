/**
 * Reports what was handled: first the cursor is saved, then the server gets `received`. Both coalesce: at most one
 * round per `intervalMs`, or when a stream has `entriesMax` new entries.
 *
 * Invariant: a `received` never claims more than the last saved cursor. A crash between the two repeats nothing and
 * loses nothing: the next connection sends `received` again.
 */
import type { Cursor, ReceivedFrame } from "../protocol/frames.ts";
import type { ClientClock } from "./clock.ts";
import { copyCursor, type CursorStore } from "./cursor-store.ts";
import { TIMELINE } from "./positions.ts";

export type ProgressOptions = {
  store: CursorStore;
  clock: ClientClock;
  intervalMs: number;
  entriesMax: number;
  cursor(): Cursor | undefined;
  /** Whether the application is handling a message, so that the cursor is ahead of what is handled. */
  isHandling(): boolean;
  /** False when there is no connection: it is sent again after the next `live`. */
  send(frame: ReceivedFrame): boolean;
  onError(error: unknown): void;
};

/** After a failure the store is tried again after this many intervals. */
const RETRY_INTERVALS = 20;

type Reached = { seq: number; entries: number };

export class Progress {
  readonly #options: ProgressOptions;
  /** Streams with entries of other users that no `received` has covered. */
  #reached = new Map<string, Reached>();
  #isDirty = false;
  #isOverdue = false;
  #saving: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;
  #isEnded = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  /** Call it when an entry was handled completely. */
  handled(stream: string, seq: number): void {
    let reached = this.#reached.get(stream);
    if (reached === undefined) this.#reached.set(stream, (reached = { seq, entries: 1 }));
    else {
      reached.seq = seq;
      reached.entries++;
    }
    this.#isDirty = true;
    if (this.#isOverdue || this.#isEnded || reached.entries >= this.#options.entriesMax) this.#round();
    else this.#arm();
  }

  /** Call it when the cursor moved over an entry that needs no `received`. */
  moved(): void {
    this.#isDirty = true;
    if (this.#isOverdue) this.#round();
    else this.#arm();
  }

  /** Drops claims for a stream that was reset, or whose entries never came. */
  forget(stream: string): void {
    this.#reached.delete(stream);
  }

  /** Repeats what a former run handled: it may have ended between the save and the `received`. */
  restate(stream: string, seq: number): void {
    if (seq > 0) this.#keep(stream, seq);
  }

  /** Sends what could not be sent without a connection. */
  connected(): void {
    if (this.#reached.size > 0) this.#arm();
  }

  /** Saves and reports everything handled so far. Not while the application is handling a message. */
  async flush(): Promise<void> {
    await this.#saving;
    if (this.#isDirty || this.#reached.size > 0) this.#round();
    await this.#saving;
  }

  /** Stops the timers. What is handled, or is still being handled, is saved once more. */
  end(): void {
    if (this.#options.isHandling()) this.#isOverdue = true;
    else if (this.#isDirty) this.#round();
    this.#isEnded = true;
    this.#disarm();
  }

  #disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #arm(ms = this.#options.intervalMs): void {
    if (this.#isEnded) return;
    this.#cancelTimer ??= this.#options.clock.after(ms, () => {
      this.#cancelTimer = undefined;
      if (this.#options.isHandling()) this.#isOverdue = true;
      else this.#round();
    });
  }

  #round(): void {
    if (this.#saving !== undefined) {
      this.#isOverdue = true;
      return;
    }
    this.#disarm();
    this.#isOverdue = false;
    const cursor = this.#options.cursor();
    if (cursor === undefined) return;
    const reached = this.#reached;
    this.#reached = new Map();
    this.#isDirty = false;
    const saved = this.#save(copyCursor(cursor));
    if (saved === true) this.#say(reached);
    else if (saved === false) this.#retry(reached);
    else this.#saving = saved.then((isSaved) => this.#afterSave(isSaved, reached));
  }

  #afterSave(isSaved: boolean, reached: Map<string, Reached>): void {
    this.#saving = undefined;
    if (isSaved) this.#say(reached);
    else this.#retry(reached);
    if (this.#isDirty) this.#arm();
  }

  #save(cursor: Cursor): boolean | Promise<boolean> {
    const failed = (error: unknown): false => {
      this.#options.onError(error);
      return false;
    };
    try {
      const saving = this.#options.store.save(cursor);
      return saving === undefined ? true : saving.then(() => true, failed);
    } catch (error) {
      return failed(error);
    }
  }

  #say(reached: Map<string, Reached>): void {
    for (const [stream, { seq }] of reached) {
      const frame: ReceivedFrame =
        stream === TIMELINE ? { t: "received", seq } : { t: "received", conversation: stream, seq };
      if (!this.#options.send(frame)) this.#keep(stream, seq);
    }
  }

  #retry(reached: Map<string, Reached>): void {
    for (const [stream, { seq }] of reached) this.#keep(stream, seq);
    this.#isDirty = true;
    this.#arm(this.#options.intervalMs * RETRY_INTERVALS);
  }

  #keep(stream: string, seq: number): void {
    const newer = this.#reached.get(stream);
    if (newer === undefined) this.#reached.set(stream, { seq, entries: 0 });
  }
}
