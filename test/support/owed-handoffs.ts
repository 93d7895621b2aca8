/** Handoffs that went out and were not confirmed to their sender, so that a test can wait for them. */
import type { Handoff } from "../../src/home/messages/handoff.ts";

/** What was handed over in one conversation. `confirmed`: what is offered once more after that is owed to nobody. */
type Chain = { owed: Map<number, Buffer>; confirmedThrough: number; confirmed: Buffer | undefined };

export class OwedHandoffs {
  /** By conversation: bytes of each by its seq, or of the last one alone where the highest counts. */
  readonly #chains = new Map<string, Chain>();

  get isEmpty(): boolean {
    for (const { owed } of this.#chains.values()) if (owed.size > 0) return false;
    return true;
  }

  /** For a test that waited in vain. */
  toString(): string {
    const open = [...this.#chains].filter(([, { owed }]) => owed.size > 0);
    return open.map(([chain, { owed }]) => `${JSON.stringify(chain)} ${[...owed.keys()].join()}`).join("; ");
  }

  clear(): void {
    this.#chains.clear();
  }

  /** @returns what it is told when the handoff is confirmed */
  add(handoff: Handoff, written: Buffer): (through: number) => void {
    const [name, seq] = placeOf(handoff, written);
    const chain = this.#chains.get(name) ?? { owed: new Map(), confirmedThrough: 0, confirmed: undefined };
    this.#chains.set(name, chain);
    const { owed } = chain;
    const isOwed = seq === 0 ? chain.confirmed?.equals(written) !== true : seq > chain.confirmedThrough;
    if (isOwed) owed.set(seq, written);
    return (through) => {
      if (seq === 0) chain.confirmed = written;
      else chain.confirmedThrough = Math.max(chain.confirmedThrough, through);
      for (const [at, bytes] of owed) if (seq === 0 ? bytes.equals(written) : at <= through) owed.delete(at);
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
