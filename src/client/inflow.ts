/**
 * Incoming frames on their way to the application. Asks the position machine about each entry, hands over the next
 * ones, and lets missing ones be paged or resumed. One frame at a time (`Delivery`). If the application fails, the
 * message counts as not delivered.
 *
 * Not here: connections, sends, timers. After a crash the stored cursor is at or behind what the application got, never
 * ahead.
 */
import type { GapFrame, MessageFrame, ReceiptFrame, ResetFrame, SentFrame } from "../protocol/frames.ts";
import { Delivery, type Item } from "./delivery.ts";
import { ParleyError } from "./errors.ts";
import { tell, type ClientEvent } from "./events.ts";
import type { Settings } from "./options.ts";
import { Positions, streamOf, TIMELINE, type Entry, type HeldFrame, type Lost } from "./positions.ts";

export type InflowPorts = {
  /** Drops the connection and resumes: its frames cannot be used. */
  drop(reason: string): void;
  fetch(stream: string, after: number): void;
  /** Called when an entry of another user was handled. */
  handled(stream: string, seq: number): void;
  /** Called when the cursor moved over an entry that needs no `received`. */
  moved(): void;
  forget(stream: string): void;
  /** Whether the message acks a send that waits here. */
  ackedByMessage(message: MessageFrame): boolean;
  /** Called when `live` is reached in the order of frames. */
  live(): void;
  awaitingMembership(): void;
  idle(): void;
};

export type InflowStats = {
  /** Entries that came twice. */
  duplicates: number;
  /** How often it resumed because an entry was missing, or too many frames were held. */
  holes: number;
};

export class Inflow {
  readonly stats: InflowStats = { duplicates: 0, holes: 0 };
  readonly positions: Positions;
  readonly #delivery: Delivery;
  readonly #settings: Settings;
  readonly #ports: InflowPorts;
  /** Refs of own sends that are acked, but whose entries are still to come. */
  readonly #ackedAhead = new Set<string>();
  #isHandling = false;

  constructor(settings: Settings, ports: InflowPorts) {
    this.#settings = settings;
    this.#ports = ports;
    this.positions = new Positions({ from: settings.from, heldMax: settings.inboxMax });
    this.#delivery = new Delivery(
      (item) => this.#handle(item),
      () => ports.idle(),
    );
  }

  get isIdle(): boolean {
    return this.#delivery.isIdle;
  }

  /** Whether the application is handling a message that the cursor already includes. */
  get isHandling(): boolean {
    return this.#isHandling;
  }

  push(item: Item): void {
    this.#delivery.push(item);
    if (this.#delivery.waiting > this.#settings.inboxMax)
      this.#ports.drop(`more than ${this.#settings.inboxMax} frames wait for onMessage`);
  }

  /**
   * An ack that represents its entry. If the entry cannot be placed yet, its ref is remembered until it arrives as a
   * frame.
   */
  pushSent(sent: SentFrame): void {
    if (!this.isIdle || !this.positions.isNext(sent)) this.ackedApart(sent);
    this.push(sent);
  }

  /** An ack whose entry arrives as a separate frame. */
  ackedApart(sent: SentFrame): void {
    if (sent.seq > (this.positions.seqOf(streamOf(sent)) ?? 0)) this.#ackedAhead.add(sent.ref);
  }

  /** The connection is closed. Waiting frames are handled as long as they do not depend on it; the rest comes again. */
  disconnected(): void {
    this.#delivery.cut(isOfConnection);
  }

  /** Drops waiting frames; they come again on a later connection. */
  forgetWaiting(): void {
    this.#delivery.cut(() => true);
  }

  #handle(item: Item): void | Promise<void> {
    switch (item.t) {
      case "message":
      case "sent":
      case "membership":
      case "group":
        return this.#entry(item, false);
      case "paged":
        return this.#paged(item.stream, item.frame);
      case "pageEnd":
        return this.#pageEnd(item.stream, item.after, item.isLast);
      case "welcome":
        this.positions.welcome(item);
        return this.#ports.moved();
      case "live":
        this.#release(this.positions.live());
        return this.#ports.live();
      case "reset":
        return this.#reset(item);
      case "gap":
        return this.#gap(item);
      case "receipt":
        return this.#receipt(item);
      default:
        // Handled on arrival, or from a later protocol version.
        return;
    }
  }

  #entry(frame: Entry, isPaged: boolean): void | Promise<void> {
    const verdict = this.positions.judge(frame, isPaged);
    switch (verdict) {
      case "next":
        return this.#next(frame, isPaged);
      case "seen":
        this.stats.duplicates++;
        if (frame.t === "sent") this.#ackedAhead.delete(frame.ref);
        return;
      case "hold":
        return this.positions.isAwaitingMembership ? this.#ports.awaitingMembership() : undefined;
      case "later":
        return;
      case "broken":
        return this.#broken(`entry ${frame.seq} of ${streamOf(frame) || "the timeline"} came too early`);
    }
  }

  #next(frame: Entry, isPaged: boolean): void | Promise<void> {
    const released = this.positions.commit(frame, isPaged);
    if (released !== undefined) this.#release(released);
    switch (frame.t) {
      case "sent":
        if (this.#ackedAhead.size > 0) this.#ackedAhead.delete(frame.ref);
        return this.#ports.moved();
      case "message":
        return this.#message(frame);
      case "membership":
        this.#tell({ type: "membership", membership: frame });
        return this.#ports.handled(TIMELINE, frame.seq);
      case "group":
        this.#tell({ type: "group", group: frame });
        return this.#ports.handled(frame.conversation, frame.seq);
    }
  }

  #message(frame: MessageFrame): void | Promise<void> {
    if (this.#isAckedHere(frame)) return this.#ports.moved();
    const { cursor } = this.positions;
    if (cursor === undefined) return;
    this.#isHandling = true;
    try {
      const taking = this.#settings.onMessage(frame, cursor);
      if (taking === undefined) return this.#accepted(frame);
      return taking.then(
        () => this.#accepted(frame),
        (error: unknown) => this.#notTaken(frame, error),
      );
    } catch (error) {
      this.#notTaken(frame, error);
    }
  }

  #accepted(frame: MessageFrame): void {
    this.#isHandling = false;
    this.#ports.handled(streamOf(frame), frame.seq);
  }

  #notTaken(frame: MessageFrame, error: unknown): void {
    this.#isHandling = false;
    this.positions.undo(frame);
    this.forgetWaiting();
    this.#tell({
      type: "error",
      error: new ParleyError("internal", `onMessage failed on ${frame.id}: ${String(error)}`, { cause: error }),
    });
    this.#ports.drop("onMessage failed");
  }

  #isAckedHere(frame: MessageFrame): boolean {
    if (frame.ref === undefined) return false;
    return this.#ackedAhead.delete(frame.ref) || this.#ports.ackedByMessage(frame);
  }

  #paged(stream: string, frame: Entry): void | Promise<void> {
    this.#lost(stream, this.positions.skipTo(stream, frame.seq));
    return this.#entry(frame, true);
  }

  #pageEnd(stream: string, after: number, isLast: boolean): void {
    const end = this.positions.pageEnd(stream, isLast);
    this.#lost(stream, end.lost);
    if (end.released !== undefined) this.#release(end.released);
    if (!end.isDone) this.#ports.fetch(stream, Math.max(after, this.positions.seqOf(stream) ?? 0));
    else this.#ports.moved();
  }

  #reset(frame: ResetFrame): void {
    const stream = frame.conversation ?? TIMELINE;
    const outcome = this.positions.reset(frame.conversation);
    if (outcome === "broken") return this.#broken("a reset came after live");
    this.#ports.forget(stream);
    this.#tell(
      frame.conversation === undefined ? { type: "reset" } : { type: "reset", conversation: frame.conversation },
    );
    this.#ports.moved();
    if (outcome === "fetch") this.#ports.fetch(stream, 0);
  }

  #gap(frame: GapFrame): void {
    const outcome = this.positions.gap(frame);
    if (outcome === "broken") return this.#broken(`a gap begins at ${frame.from}, behind what is missing`);
    if (outcome === "hold") return this.#ports.awaitingMembership();
    if (outcome === "seen") return;
    const { from, to, conversation } = frame;
    this.#tell(conversation === undefined ? { type: "gap", from, to } : { type: "gap", conversation, from, to });
    this.#ports.fetch(streamOf(frame), this.positions.seqOf(streamOf(frame)) ?? 0);
  }

  #receipt(frame: ReceiptFrame): void {
    const isMoved = this.positions.mark(frame.mark);
    this.#tell({ type: "receipt", receipt: frame });
    if (isMoved) this.#ports.moved();
  }

  #broken(reason: string): void {
    this.stats.holes++;
    this.forgetWaiting();
    this.#ports.drop(reason);
  }

  #lost(stream: string, lost: Lost | undefined): void {
    if (lost === undefined) return;
    this.#tell(stream === TIMELINE ? { type: "lost", ...lost } : { type: "lost", conversation: stream, ...lost });
  }

  #release(frames: readonly HeldFrame[]): void {
    this.#delivery.pushFront(frames);
  }

  #tell(event: ClientEvent): void {
    tell(this.#settings.onEvent, event);
  }
}

/** Whether an item depends on its connection or page. */
function isOfConnection(item: Item): boolean {
  return (
    item.t === "welcome" ||
    item.t === "live" ||
    item.t === "reset" ||
    item.t === "gap" ||
    item.t === "paged" ||
    item.t === "pageEnd"
  );
}
