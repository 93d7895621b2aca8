/**
 * Passwords as argon2id, with a bound on how many are computed at once: each costs tens of milliseconds of a core and megabytes of
 * memory, so a flood of logins must meet `unavailable` before it starves the messages.
 */
import { AppError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";

export type PasswordOptions = {
  memoryKiB: number;
  passes: number;
  /** Computed at the same time, in Bun's thread pool. */
  concurrency: number;
  /** Waiting for their turn; more are refused. */
  queueMax: number;
};

/** OWASP's first choice for argon2id; about 26 ms on one core of a small server. */
export const DEFAULT_PASSWORD_OPTIONS: PasswordOptions = {
  memoryKiB: 19_456,
  passes: 2,
  concurrency: 2,
  queueMax: 128,
};

const BUSY_RETRY_AFTER_MS = 2000;

/** The computation itself: Bun's, or a test's. */
export type PasswordHashing = {
  hash(password: string, cost: { algorithm: "argon2id"; memoryCost: number; timeCost: number }): Promise<string>;
  verify(password: string, hash: string): Promise<boolean>;
};

export class Passwords {
  readonly #options: PasswordOptions;
  readonly #hashing: PasswordHashing;
  /** Hash of a password that nobody has: what unknown users are verified against, so that they take as long as known ones. */
  #nobody = "";
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  private constructor(options: PasswordOptions, hashing: PasswordHashing) {
    this.#options = options;
    this.#hashing = hashing;
  }

  static async open(
    options: PasswordOptions,
    random: Random,
    hashing: PasswordHashing = Bun.password,
  ): Promise<Passwords> {
    const passwords = new Passwords(options, hashing);
    passwords.#nobody = await passwords.hash(Buffer.from(random.bytes(32)).toString("hex"));
    return passwords;
  }

  /** @throws AppError unavailable when too many wait already. */
  hash(password: string): Promise<string> {
    const { memoryKiB, passes } = this.#options;
    const cost = { algorithm: "argon2id", memoryCost: memoryKiB, timeCost: passes } as const;
    return this.#inTurn(() => this.#hashing.hash(canonical(password), cost));
  }

  /** Takes the same time when there is no hash. @throws AppError unavailable when too many wait already. */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    const matches = await this.#inTurn(() => this.#hashing.verify(canonical(password), hash ?? this.#nobody));
    return matches && hash !== undefined;
  }

  async #inTurn<T>(compute: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.concurrency) this.#running++;
    else await this.#turn();
    try {
      return await compute();
    } finally {
      // The turn passes straight to the next in line, so that a newcomer cannot overtake.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(): Promise<void> {
    const { queueMax } = this.#options;
    if (this.#waiting.length >= queueMax) {
      const detail = `${queueMax} passwords wait to be checked already; try again later`;
      throw new AppError("unavailable", detail, { retryAfterMs: BUSY_RETRY_AFTER_MS });
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** The same password typed on systems that compose accents differently is the same password. */
function canonical(password: string): string {
  return password.normalize("NFC");
}
