/**
 * Counts wrong passwords per user name, so that guessing is slow. Names that do not exist are counted the same way: an answer must not
 * tell which exist. A name that is being attacked cannot log in for the rest of its minute; its live tokens go on working.
 */
import { AppError } from "../base/errors.ts";
import type { Clock } from "../base/clock.ts";

export type LoginThrottleOptions = { failuresMax: number; windowMs: number; usersMax: number };

/**
 * `usersMax` bounds the memory: beyond it the user whose window began first is forgotten. Filling the table costs an attacker one
 * argon2 computation a name, which is slower than waiting for the window to end.
 */
export const DEFAULT_LOGIN_THROTTLE: LoginThrottleOptions = { failuresMax: 10, windowMs: 60_000, usersMax: 10_000 };

type Window = { failures: number; beganAt: number };

export class LoginThrottle {
  readonly #options: LoginThrottleOptions;
  readonly #clock: Clock;
  /** In order of `beganAt`. */
  readonly #windows = new Map<string, Window>();

  constructor(options: LoginThrottleOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get size(): number {
    return this.#windows.size;
  }

  /** @throws AppError rate_limited when `user` had its failures for this minute. */
  check(user: string): void {
    const window = this.#current(user);
    const { failuresMax, windowMs } = this.#options;
    if (window === undefined || window.failures < failuresMax) return;
    const retryAfterMs = Math.max(1, Math.ceil(window.beganAt + windowMs - this.#clock.monotonicMs()));
    const detail = `${failuresMax} wrong passwords for @${user} within ${windowMs / 1000} s; wait ${Math.ceil(retryAfterMs / 1000)} s`;
    throw new AppError("rate_limited", detail, { retryAfterMs });
  }

  /** Attempts already being computed when the limit is reached still count: the password queue bounds how many those are. */
  failed(user: string): void {
    const window = this.#current(user);
    if (window !== undefined) {
      window.failures++;
      return;
    }
    this.#windows.set(user, { failures: 1, beganAt: this.#clock.monotonicMs() });
    this.#forgetOldest();
  }

  succeeded(user: string): void {
    this.#windows.delete(user);
  }

  #current(user: string): Window | undefined {
    const window = this.#windows.get(user);
    if (window === undefined || this.#clock.monotonicMs() - window.beganAt < this.#options.windowMs) return window;
    this.#windows.delete(user);
    return undefined;
  }

  #forgetOldest(): void {
    if (this.#windows.size <= this.#options.usersMax) return;
    const [oldest] = this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
  }
}
