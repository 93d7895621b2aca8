/**
 * File descriptors that are kept back for the log: open on /dev/null, and closed one by one when a call finds that the
 * process has none left. Nothing of the same thread can come between closing one and opening the file that needs it;
 * what another thread takes meanwhile costs a second one.
 *
 * Not here: what keeps sockets from taking the rest (src/node/connections.ts). With the reserve alone a server goes on
 * writing, and lets nobody in.
 */
import * as fs from "node:fs";
import type { SystemCalls } from "./file-system.ts";

const NOTHING = "/dev/null";

export class DescriptorReserve {
  readonly #count: number;
  readonly #system: SystemCalls;
  readonly #kept: number[] = [];
  #isReleased = false;

  /** @param system what opens and closes; for tests */
  constructor(count: number, system: SystemCalls = fs) {
    this.#count = count;
    this.#system = system;
    this.refill();
  }

  /** How many are kept now. */
  get kept(): number {
    return this.#kept.length;
  }

  /**
   * The system's calls, where those that open a file take from the reserve what they cannot get otherwise, and those
   * that close one fill it up first.
   */
  get calls(): SystemCalls {
    const { openSync, readFileSync, readdirSync, close, closeSync } = this.#system;
    const backed = <Call extends (...given: never[]) => unknown>(call: Call): Call =>
      ((...given: never[]) => this.#backed(() => call(...given))) as Call;
    return {
      ...this.#system,
      openSync: backed(openSync),
      readFileSync: backed(readFileSync as never),
      readdirSync: backed(readdirSync as never),
      closeSync: (file: number) => {
        closeSync(file);
        this.refill();
      },
      close: ((file: number, done: fs.NoParamCallback) =>
        close(file, (error) => {
          this.refill();
          done(error);
        })) as typeof close,
    };
  }

  /** Takes back what it can get. */
  refill(): void {
    try {
      while (!this.#isReleased && this.#kept.length < this.#count) this.#kept.push(this.#system.openSync(NOTHING, "r"));
    } catch (error) {
      if (!isOutOfDescriptors(error)) throw error;
    }
  }

  /** Gives all of it back, for good. */
  release(): void {
    this.#isReleased = true;
    for (const file of this.#kept.splice(0)) this.#system.closeSync(file);
  }

  #backed<T>(call: () => T): T {
    for (;;) {
      try {
        return call();
      } catch (error) {
        const file = isOutOfDescriptors(error) ? this.#kept.pop() : undefined;
        if (file === undefined) throw error;
        this.#system.closeSync(file);
      }
    }
  }
}

export function isOutOfDescriptors(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === "EMFILE" || code === "ENFILE";
}
