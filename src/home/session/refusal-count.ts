/** Counts frames that a sound client would not send. A client with too many of them is disconnected (4503). */
import type { Clock } from "../../base/clock.ts";
import type { AppError } from "../../base/errors.ts";
import { UnservedFrame } from "./decode-frame.ts";

const REFUSALS_MAX = 64;
const WINDOW_MS = 10_000;

export class RefusalCount {
  readonly #clock: Clock;
  #windowEnd = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isTooMany(error: AppError): boolean {
    if (error instanceof UnservedFrame) return false;
    if (error.code !== "bad_request" && error.code !== "too_large") return false;
    const now = this.#clock.monotonicMs();
    if (now > this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS;
      this.#count = 0;
    }
    return ++this.#count > REFUSALS_MAX;
  }
}
