/**
 * Passwords as argon2id, with a bound on concurrent computations. Each costs tens of milliseconds of a core, and
 * megabytes. So a flood of logins gets `unavailable` before it starves the messages. Clients take turns
 * (fair-turns.ts), so that only the address that floods is refused.
 */
import { availableParallelism } from "node:os";
import { AppError } from "../../base/errors.ts";
import { FairTurns } from "./fair-turns.ts";
import type { Random } from "../../base/random.ts";

export type PasswordOptions = {
  memoryKiB: number;
  passes: number;
  /** Computed at the same time, in Bun's thread pool. */
  concurrency: number;
  /** Computations that wait for their turn; more are refused. */
  queueMax: number;
};

/** OWASP's first choice for argon2id; about 26 ms on one core of a small server. One core is left for messages. */
export const DEFAULT_PASSWORD_OPTIONS: PasswordOptions = {
  memoryKiB: 19_456,
  passes: 2,
  concurrency: Math.max(1, Math.min(2, availableParallelism() - 1)),
  queueMax: 128,
};

const BUSY_RETRY_AFTER_MS = 2000;

/** The computation: Bun's, or a test's. */
export type PasswordHashing = {
  hash(password: string, cost: { algorithm: "argon2id"; memoryCost: number; timeCost: number }): Promise<string>;
  verify(password: string, hash: string): Promise<boolean>;
};

type Turn = { begin: () => void; refuse: () => void };

export class Passwords {
  readonly #options: PasswordOptions;
  readonly #hashing: PasswordHashing;
  /** Hash of a random password. Unknown users are verified against it, so that they take as long as known ones. */
  #nobody = "";
  #running = 0;
  readonly #waiting: FairTurns<Turn>;

  private constructor(options: PasswordOptions, hashing: PasswordHashing) {
    this.#options = options;
    this.#hashing = hashing;
    this.#waiting = new FairTurns(options.queueMax);
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

  /** @param client address of the caller. @throws AppError unavailable if too many wait already */
  hash(password: string, client = ""): Promise<string> {
    const { memoryKiB, passes } = this.#options;
    const cost = { algorithm: "argon2id", memoryCost: memoryKiB, timeCost: passes } as const;
    return this.#inTurn(client, () => this.#hashing.hash(canonical(password), cost));
  }

  /**
   * Takes the same time if there is no hash. @param client address of the caller
   * @throws AppError unavailable if too many wait already
   */
  async verify(password: string, hash: string | undefined, client = ""): Promise<boolean> {
    const matches = await this.#inTurn(client, () => this.#hashing.verify(canonical(password), hash ?? this.#nobody));
    return matches && hash !== undefined;
  }

  async #inTurn<T>(client: string, compute: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.concurrency) this.#running++;
    else await this.#turn(client);
    try {
      return await compute();
    } finally {
      // The turn passes straight to the next waiter, so that a newcomer cannot overtake.
      const next = this.#waiting.next();
      if (next === undefined) this.#running--;
      else next.begin();
    }
  }

  #turn(client: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const detail = `${this.#options.queueMax} passwords wait to be checked already; try again later`;
    const refuse = () => reject(new AppError("unavailable", detail, { retryAfterMs: BUSY_RETRY_AFTER_MS }));
    this.#waiting.add(client, { begin: resolve, refuse })?.refuse();
    return promise;
  }
}

/** One password, whether the system it is typed on composes accents or not. */
function canonical(password: string): string {
  return password.normalize("NFC");
}
