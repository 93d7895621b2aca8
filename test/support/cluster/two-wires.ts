/** Two ends of a connection in memory, for links: it can be cut, and stall. Bytes arrive in a later turn, in order. */
import type { Wire, WireEvents } from "../../../src/cluster/link/wire.ts";

export class TestWire implements Wire {
  other!: TestWire;
  events: WireEvents | undefined;
  /** Nothing leaves it meanwhile, and nobody is told. */
  isStalled = false;
  isClosed = false;
  readonly #waiting: Buffer[] = [];

  send(bytes: Uint8Array): boolean {
    if (this.isClosed) return false;
    this.#waiting.push(Buffer.from(bytes));
    if (this.#waiting.length === 1) setImmediate(() => this.deliver());
    return true;
  }

  get bufferedBytes(): number {
    return this.#waiting.reduce((sum, { length }) => sum + length, 0);
  }

  /** What waits arrives. */
  deliver(): void {
    if (this.isStalled || this.isClosed || this.#waiting.length === 0) return;
    for (const bytes of this.#waiting.splice(0)) this.other.events?.message(bytes);
    this.events?.drained();
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    const rest = this.#waiting.splice(0);
    setImmediate(() => {
      // As with a socket: what was sent before the end arrives.
      if (!this.isStalled && !this.other.isClosed) for (const bytes of rest) this.other.events?.message(bytes);
      this.other.cut();
    });
  }

  cut(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.events?.closed();
  }
}

export function twoWires(): [TestWire, TestWire] {
  const ends: [TestWire, TestWire] = [new TestWire(), new TestWire()];
  [ends[0].other, ends[1].other] = [ends[1], ends[0]];
  return ends;
}
