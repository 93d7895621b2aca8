/**
 * Counts wrong passwords, so that guessing is slow. Counts per user name, and separately per address where the user has
 * logged in before. So guessing at a name locks it for strangers, not for its owner. Names that do not exist are
 * counted the same way, so that the answer does not tell which exist.
 *
 * An attempt counts before its password is computed. Example: of 100 concurrent attempts only `failuresMax` are
 * computed.
 */
import { AppError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";

export type LoginThrottleOptions = { failuresMax: number; windowMs: number; usersMax: number };

/**
 * `usersMax` bounds the memory: beyond it the user whose window began first is forgotten. To fill the table costs one
 * argon2 computation a name, which is slower than waiting for a window to end.
 */
export const DEFAULT_LOGIN_THROTTLE: LoginThrottleOptions = { failuresMax: 10, windowMs: 60_000, usersMax: 10_000 };

type Window = { key: string; failures: number; underWay: number; beganAt: number };

/** A password that is being computed. Exactly one of the three is called, once. */
export type LoginAttempt = {
  succeeded(): void;
  failed(): void;
  /** The password was not computed after all. */
  withdrawn(): void;
};

const UNDER_WAY_RETRY_MS = 1000;

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

  /**
   * @param knownClient the address, if the user has logged in from it before; all other addresses count together
   * @throws AppError rate_limited if the name had its failures for this window, including attempts under way
   */
  begin(user: string, knownClient?: string): LoginAttempt {
    const window = this.#window(knownClient === undefined ? user : `${user} ${knownClient}`);
    const { failuresMax } = this.#options;
    if (window.failures >= failuresMax) throw this.#tooMany(user, window);
    if (window.failures + window.underWay >= failuresMax) {
      const detail = `${window.underWay} passwords for @${user} are being checked already; try again later`;
      throw new AppError("rate_limited", detail, { retryAfterMs: UNDER_WAY_RETRY_MS });
    }
    window.underWay++;
    return {
      succeeded: () => {
        window.underWay--;
        window.failures = 0;
        this.#forgetIfEmpty(window);
      },
      failed: () => {
        window.underWay--;
        window.failures++;
      },
      withdrawn: () => {
        window.underWay--;
        this.#forgetIfEmpty(window);
      },
    };
  }

  #tooMany(user: string, window: Window): AppError {
    const { failuresMax, windowMs } = this.#options;
    const retryAfterMs = Math.max(1, Math.ceil(window.beganAt + windowMs - this.#clock.monotonicMs()));
    const waitS = Math.ceil(retryAfterMs / 1000);
    const detail = `${failuresMax} wrong passwords for @${user} within ${windowMs / 1000} s; wait ${waitS} s`;
    return new AppError("rate_limited", detail, { retryAfterMs });
  }

  #window(key: string): Window {
    const now = this.#clock.monotonicMs();
    const window = this.#windows.get(key);
    if (window !== undefined && now - window.beganAt < this.#options.windowMs) return window;
    this.#windows.delete(key);
    // Attempts under way began in the window before and may still fail.
    const next = { key, failures: 0, underWay: window?.underWay ?? 0, beganAt: now };
    this.#windows.set(key, next);
    this.#forgetOldest();
    return next;
  }

  #forgetIfEmpty(window: Window): void {
    if (window.failures + window.underWay === 0 && this.#windows.get(window.key) === window)
      this.#windows.delete(window.key);
  }

  #forgetOldest(): void {
    if (this.#windows.size <= this.#options.usersMax) return;
    const [oldest] = this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
  }
}
