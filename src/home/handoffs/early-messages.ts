/**
 * Messages of one conversation that have overtaken an earlier one. They wait for it at the receiver's shard, so that
 * they need not come again. Nothing relies on that: the sender's shard is told that one is missing, and offers all that
 * are unconfirmed again.
 */
import type { Seq } from "../../../storage/types.ts";
import type { HandoffOutcome, MessageHandoff } from "../messages/handoff.ts";

/** Bounds of one conversation. The sender's shard offers what does not fit again. */
const MESSAGES_MAX = 256;
const CHARACTERS_MAX = 1 << 19;

export type EarlyMessage = { readonly handoff: MessageHandoff; readonly outcome: HandoffOutcome };

export class EarlyMessages {
  /** By the seq of the message that each waits for. */
  readonly #waiting = new Map<Seq, EarlyMessage>();
  #characters = 0;

  get isEmpty(): boolean {
    return this.#waiting.size === 0;
  }

  hold(handoff: MessageHandoff, outcome: HandoffOutcome): void {
    const { prev, text } = handoff;
    const hasRoom = this.#waiting.size < MESSAGES_MAX && this.#characters + text.length <= CHARACTERS_MAX;
    if (!hasRoom || this.#waiting.has(prev)) return;
    this.#waiting.set(prev, { handoff, outcome });
    this.#characters += text.length;
  }

  /** The message that waited for that one. Those at or below it are forgotten: they came by another way. */
  releasedBy(seq: Seq): EarlyMessage | undefined {
    const next = this.#waiting.get(seq);
    for (const [prev, { handoff }] of this.#waiting) if (prev <= seq) this.#forget(prev, handoff);
    return next;
  }

  #forget(prev: Seq, { text }: MessageHandoff): void {
    this.#waiting.delete(prev);
    this.#characters -= text.length;
  }
}
