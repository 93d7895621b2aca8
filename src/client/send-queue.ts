/**
 * Outgoing messages: waiting, in flight, or to be sent again. Pure: no sockets, no timers. The caller asks `next` for a
 * frame whenever it can send, and reports acks, refusals and lost connections.
 *
 * Invariants
 * - Frames leave in the order of `add`. Frames that must be sent again leave before any that was never sent.
 * - If the server refuses an older send for the moment, it may still accept those in flight after it; the server
 *   decides whether the order survives that. From then on one send is in flight at a time, until acks come again.
 * - An entry ends exactly once: resolved by its ack, or rejected by a final refusal or the end of the client.
 * - At most `max` entries wait or are in flight.
 */
import type { SendFrame, SentFrame } from "../protocol/frames.ts";
import { isTransient, ParleyError } from "./errors.ts";
import { Fifo } from "./fifo.ts";

export type Outgoing = { ref: string; to: string; text: string };
type Settle = { resolve(sent: SentFrame): void; reject(error: ParleyError): void };
type Entry = Outgoing & Settle & { order: number; state: "waiting" | "flying" | "done"; wasSent: boolean };

/** How long to pause when a server asks to wait without saying how long. */
const PAUSE_MS_DEFAULT = 1000;

export class SendQueue {
  readonly #max: number;
  readonly #marksFirst: boolean;
  /** In the order of `add`: a Map keeps it. */
  readonly #byRef = new Map<string, Entry>();
  readonly #fresh = new Fifo<Entry>();
  /** Entries to be sent again, ascending by `order`, all below those in `#fresh`. */
  #again: Entry[] = [];
  #flying = 0;
  #order = 0;
  /**
   * Set to 1 by a refusal and doubled by each ack: while the server refuses a send, no newer one may be in flight that
   * it could accept.
   */
  #refusalWindow = Number.POSITIVE_INFINITY;
  #pausedUntilMs = 0;

  constructor(options: { max: number; marksFirst: boolean }) {
    this.#max = options.max;
    this.#marksFirst = options.marksFirst;
  }

  get size(): number {
    return this.#byRef.size;
  }

  get isFull(): boolean {
    return this.#byRef.size >= this.#max;
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  find(ref: string): Outgoing | undefined {
    return this.#byRef.get(ref);
  }

  add(message: Outgoing, settle: Settle): void {
    const entry: Entry = { ...message, ...settle, order: this.#order++, state: "waiting", wasSent: false };
    this.#byRef.set(entry.ref, entry);
    this.#fresh.push(entry);
  }

  /**
   * The next frame to send, now in flight; undefined when nothing waits, the window is full or the server asked for a
   * pause.
   */
  next(nowMs: number, window: number): SendFrame | undefined {
    if (this.#flying >= Math.min(window, this.#refusalWindow) || nowMs < this.#pausedUntilMs) return undefined;
    const entry = this.#nextEntry();
    if (entry === undefined) return undefined;
    const isRetry = entry.wasSent || this.#marksFirst;
    entry.state = "flying";
    entry.wasSent = true;
    this.#flying++;
    const frame: SendFrame = { t: "send", ref: entry.ref, to: entry.to, text: entry.text };
    if (isRetry) frame.retry = true;
    return frame;
  }

  /** @returns whether this ref was pending here. */
  acked(sent: SentFrame): boolean {
    const entry = this.#end(sent.ref);
    if (entry === undefined) return false;
    this.#refusalWindow *= 2;
    entry.resolve(sent);
    return true;
  }

  /** `again`: it waits for the pause to end. `final`: its sender gets the error. `unknown`: not pending here. */
  refused(ref: string, error: ParleyError, nowMs: number): "again" | "final" | "unknown" {
    const entry = this.#byRef.get(ref);
    if (entry === undefined) return "unknown";
    if (!isTransient(error.code)) {
      this.#end(ref);
      entry.reject(error);
      return "final";
    }
    this.#refusalWindow = 1;
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + (error.retryAfterMs ?? PAUSE_MS_DEFAULT));
    if (entry.state === "flying") {
      entry.state = "waiting";
      this.#flying--;
      this.#insertAgain(entry);
    }
    return "again";
  }

  /** Call it when the connection is closed: the outcome of sends in flight is unknown. */
  disconnected(): void {
    this.#again = [];
    for (const entry of this.#byRef.values()) {
      // `#byRef` is in send order and nothing is sent out of order, so the first entry that was never sent ends the
      // search.
      if (!entry.wasSent) break;
      entry.state = "waiting";
      this.#again.push(entry);
    }
    this.#flying = 0;
  }

  rejectAll(error: ParleyError): void {
    for (const entry of Array.from(this.#byRef.values())) {
      this.#end(entry.ref);
      entry.reject(error);
    }
  }

  #nextEntry(): Entry | undefined {
    // Entries that were acked while they waited (their message came with a resume) are skipped here.
    while (this.#again.length > 0) {
      const entry = this.#again.shift();
      if (entry?.state === "waiting") return entry;
    }
    for (let entry = this.#fresh.shift(); entry !== undefined; entry = this.#fresh.shift()) {
      if (entry.state === "waiting") return entry;
    }
    return undefined;
  }

  #insertAgain(entry: Entry): void {
    let at = this.#again.length;
    while (at > 0 && (this.#again[at - 1]?.order ?? 0) > entry.order) at--;
    this.#again.splice(at, 0, entry);
  }

  #end(ref: string): Entry | undefined {
    const entry = this.#byRef.get(ref);
    if (entry === undefined) return undefined;
    this.#byRef.delete(ref);
    if (entry.state === "flying") this.#flying--;
    entry.state = "done";
    return entry;
  }
}
