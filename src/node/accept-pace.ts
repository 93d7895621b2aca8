/**
 * Accepts nobody for some milliseconds when upgrades are refused faster than a pace: most of what such a one costs is the connection itself, which the
 * system and the runtime make and end before anybody can refuse it. Newcomers wait meanwhile, in the order in which they came.
 */
import type { Clock } from "../base/clock.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import type { ListenerGate } from "./listener-gate.ts";

/** About a tenth of a core. As many as the system lets wait may come at once. */
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

  /** An upgrade was refused. */
  refused(): void {
    this.#refusals.spend(1, this.#clock.monotonicMs());
    if (this.#cancelWait === undefined) this.#waitForPace();
  }

  /** Before the gate is closed for good. */
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
