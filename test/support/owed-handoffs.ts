/** Handoffs that went out and were not confirmed to their sender, so that a test can wait for them. */
import type { Handoff } from "../../src/home/messages/handoff.ts";

export class OwedHandoffs {
  /** By conversation: bytes of each by its seq, or of the last one alone where the highest counts. */
  readonly #owed = new Map<string, Map<number, Buffer>>();

  get isEmpty(): boolean {
    return this.#owed.size === 0;
  }

  clear(): void {
    this.#owed.clear();
  }

  /** @returns what it is told when the handoff is confirmed */
  add(handoff: Handoff, written: Buffer): (through: number) => void {
    const [chain, seq] = placeOf(handoff, written);
    const owed = this.#owed.get(chain) ?? new Map<number, Buffer>();
    this.#owed.set(chain, owed.set(seq, written));
    return (through) => {
      for (const [at, bytes] of owed) if (seq === 0 ? bytes.equals(written) : at <= through) owed.delete(at);
      if (owed.size === 0 && this.#owed.get(chain) === owed) this.#owed.delete(chain);
    };
  }
}

function placeOf(handoff: Handoff, written: Buffer): [chain: string, seq: number] {
  switch (handoff.kind) {
    case "message":
      return [`message ${handoff.from} ${handoff.to}`, handoff.seq];
    case "membership":
      return [`membership ${handoff.group} ${handoff.user}`, handoff.seq];
    case "peerMark":
      return [`mark ${handoff.from} ${handoff.to}`, 0];
    case "memberMark":
      return [`mark ${handoff.user} ${handoff.group}`, 0];
    default:
      return [written.toString("latin1"), 0];
  }
}
