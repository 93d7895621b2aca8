/**
 * Slows down accepting while upgrades are refused faster than `PACE`. Most of the cost of a refused upgrade is the TCP
 * connection itself, which the system and the runtime make and end before the server can refuse it. New connections
 * wait in the kernel meanwhile, in their order.
 */
import type { Clock } from "../base/clock.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import type { ListenerGate } from "./listener-gate.ts";

/** Costs about a tenth of a core. The burst is the kernel's queue of waiting connections. */
const PACE = { perSecond: 2500, burst: 512 };

export class AcceptPace {
  readonly #gate: ListenerGate;
  readonly #clock: Clock;
  readonly #refusals: TokenBucket;
  #cancelWait: (() => void) | undefined;

  constructor(gate: ListenerGate, clock: Clock) {
    this.#gate = gate;
    this.#clock = clock;
    this.#refusals = new TokenBucket(PACE, clock.monotonicMs());
  }

  /** Called for each refused upgrade. */
  refused(): void {
    this.#refusals.spend(1, this.#clock.monotonicMs());
    if (this.#cancelWait === undefined) this.#waitForPace();
  }

  /** Call it before the gate is closed for good. */
  stop(): void {
    this.#cancelWait?.();
    this.#cancelWait = () => {};
  }

  #waitForPace(): void {
    this.#cancelWait = undefined;
    this.#refusals.spend(0, this.#clock.monotonicMs());
    const { waitMs } = this.#refusals;
    this.#gate.pause(waitMs > 0);
    if (waitMs > 0) this.#cancelWait = this.#clock.after(waitMs, () => this.#waitForPace());
  }
}
