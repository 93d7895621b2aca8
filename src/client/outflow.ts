/**
 * Outgoing sends, with their window and pauses, and read marks. They are sent while there is a live transport, and wait
 * otherwise.
 *
 * Not here: `hello`, `received` (`Progress`) and pings (`Connection`).
 */
import type { ErrorFrame, Limits, MessageFrame, SentFrame } from "../protocol/frames.ts";
import { errorCodeOf, ParleyError } from "./errors.ts";
import type { Settings } from "./options.ts";
import { Refs } from "./refs.ts";
import { SendQueue } from "./send-queue.ts";
import type { Transport } from "./transport.ts";

export type OutflowPorts = {
  /** The transport, when sends may go over it; undefined before `live`. */
  liveTransport(): Transport | undefined;
  limits(): Limits;
};

/** The most bytes of one UTF-16 unit in JSON, escaped. */
const JSON_BYTES_PER_CHARACTER_MAX = 6;
const FRAME_OVERHEAD_BYTES = 256;

export class Outflow {
  readonly #settings: Settings;
  readonly #ports: OutflowPorts;
  readonly #refs: Refs;
  readonly #sends: SendQueue;
  #cancelPause: (() => void) | undefined;
  /**
   * Read marks that were not sent yet, and those sent on the present connection. They are not acknowledged, so the next
   * connection sends them again.
   */
  readonly #readsWaiting = new Map<string, number>();
  readonly #readsSaid = new Map<string, number>();

  constructor(settings: Settings, ports: OutflowPorts) {
    this.#settings = settings;
    this.#ports = ports;
    this.#refs = new Refs(settings.random);
    this.#sends = new SendQueue({ max: settings.outboxMax, marksFirst: settings.retryFirst });
  }

  send(input: { to: string; text: string; ref?: string }): Promise<SentFrame> {
    const ref = input.ref ?? this.#refs.next();
    const refusal = this.#refusalOf(ref, input.to, input.text);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      this.#sends.add({ ref, to: input.to, text: input.text }, { resolve, reject });
      this.pump();
    });
  }

  markRead(conversation: string, seq: number): void {
    if (seq <= (this.#readsWaiting.get(conversation) ?? this.#readsSaid.get(conversation) ?? 0)) return;
    this.#readsWaiting.set(conversation, seq);
    this.#sayReads();
  }

  live(): void {
    this.#sayReads();
    this.pump();
  }

  disconnected(): void {
    this.#sends.disconnected();
    for (const [conversation, seq] of this.#readsSaid) {
      if (!this.#readsWaiting.has(conversation)) this.#readsWaiting.set(conversation, seq);
    }
    this.#readsSaid.clear();
  }

  end(error: ParleyError): void {
    this.#cancelPause?.();
    this.#cancelPause = undefined;
    this.#sends.rejectAll(error);
  }

  acked(sent: SentFrame): void {
    if (this.#sends.acked(sent)) this.pump();
  }

  /**
   * A resume brings back a stored message whose `sent` was lost. If its text differs, it is not the message that waits
   * here: the server will refuse that ref.
   */
  ackedByMessage(message: MessageFrame): boolean {
    const { ref, id, conversation, seq, sentAt, text } = message;
    const pending = ref === undefined ? undefined : this.#sends.find(ref);
    if (ref === undefined || pending === undefined || pending.to !== conversation || pending.text !== text)
      return false;
    this.acked({ t: "sent", ref, id, conversation, seq, sentAt, duplicate: true });
    return true;
  }

  /** @returns the error, when it belongs to no send that waits here. */
  refused(frame: ErrorFrame): ParleyError | undefined {
    const error = new ParleyError(errorCodeOf(frame.code), frame.detail, { retryAfterMs: frame.retryAfterMs });
    const nowMs = this.#settings.clock.monotonicMs();
    const outcome = frame.ref === undefined ? "unknown" : this.#sends.refused(frame.ref, error, nowMs);
    this.pump();
    return outcome === "unknown" ? error : undefined;
  }

  pump(): void {
    const transport = this.#ports.liveTransport();
    if (transport === undefined) return;
    const window = Math.min(this.#settings.sendWindow, transport.window ?? Number.POSITIVE_INFINITY);
    const nowMs = this.#settings.clock.monotonicMs();
    for (let frame = this.#sends.next(nowMs, window); frame !== undefined; frame = this.#sends.next(nowMs, window))
      transport.send(frame);
    if (this.#sends.pausedUntilMs > nowMs) this.#armPause(this.#sends.pausedUntilMs - nowMs);
  }

  #armPause(ms: number): void {
    this.#cancelPause ??= this.#settings.clock.after(ms, () => {
      this.#cancelPause = undefined;
      this.pump();
    });
  }

  /** A frame over the limit would close the connection, not only lose the message. So it is refused here. */
  #refusalOf(ref: string, to: string, text: string): ParleyError | undefined {
    if (this.#sends.find(ref) !== undefined) return new ParleyError("ref_conflict", `ref ${ref} is on its way already`);
    if (this.#sends.isFull)
      return new ParleyError("unavailable", `the outbox is full: ${this.#sends.size} sends wait for their acks`);
    const { frameBytesMax } = this.#ports.limits();
    if ((text.length + to.length) * JSON_BYTES_PER_CHARACTER_MAX < frameBytesMax - FRAME_OVERHEAD_BYTES)
      return undefined;
    const bytes = new TextEncoder().encode(JSON.stringify({ t: "send", ref, to, text, retry: true })).length;
    return bytes <= frameBytesMax
      ? undefined
      : new ParleyError("too_large", `frame: ${bytes} bytes, at most ${frameBytesMax}`);
  }

  #sayReads(): void {
    const transport = this.#ports.liveTransport();
    if (transport === undefined || !transport.carriesMarks) return;
    for (const [conversation, seq] of this.#readsWaiting) {
      transport.send({ t: "read", conversation, seq });
      this.#readsSaid.set(conversation, seq);
    }
    this.#readsWaiting.clear();
  }
}
