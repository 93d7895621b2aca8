/**
 * Where the next attempt connects: to one of the entry URLs, or straight to the node where the user lives. A route may
 * be out of date and a node may be gone, so a place that did not work is never the only one.
 *
 * - An entry that did not work is followed by the next one.
 * - Any node serves any user. So while the home cannot be reached from here, the client stays at an entry.
 */
import type { ClientClock } from "./clock.ts";

export type PlacesOptions = {
  readonly entries: readonly string[];
  /** Ask an entry where the user lives, and connect there. */
  readonly direct: boolean;
  readonly clock: ClientClock;
  readonly random: () => number;
  /** The URL of the user's home, as this entry knows it. */
  ask(entry: string, signal: AbortSignal): Promise<string>;
};

const AVOID_MS = 1000;
const AVOID_MS_MAX = 60_000;

export class Places {
  readonly #options: PlacesOptions;
  #entry: number;
  #url: string;
  /** Named by `bye`, for one attempt. */
  #named: string | undefined;
  /** The attempt is not at an entry. */
  #isElsewhere = false;
  #avoidMs = AVOID_MS;
  #avoidUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: PlacesOptions) {
    this.#options = options;
    // Clients that were given the same list do not all begin at its first node.
    this.#entry = Math.floor(options.random() * options.entries.length);
    this.#url = this.#entryUrl;
  }

  /** How many there are. */
  get entries(): number {
    return this.#options.entries.length;
  }

  /** Of the present attempt, or of the last one. */
  get url(): string {
    return this.#url;
  }

  /**
   * Chooses the place of an attempt. Calls `go` in the same turn, unless an entry has to be asked.
   * @returns what ends the asking; `go` is not called afterwards
   */
  next(go: (url: string) => void): () => void {
    const named = this.#named;
    this.#named = undefined;
    if (named === undefined && this.#mayAsk) return this.#ask(go);
    if (named !== undefined) this.#be(named, named !== this.#entryUrl);
    go(this.#url);
    return () => {};
  }

  /** `welcome` came. */
  worked(): void {
    if (this.#isElsewhere) this.#avoidMs = AVOID_MS;
  }

  /** The attempt ended without a `welcome`. */
  failed(): void {
    if (this.#isElsewhere) this.#avoid();
    else this.#entry = (this.#entry + 1) % this.#options.entries.length;
    this.#be(this.#entryUrl, false);
  }

  /** The server has said where to come back. */
  named(url: string): void {
    this.#named = url.replace(/^ws/, "http");
  }

  get #entryUrl(): string {
    return this.#options.entries[this.#entry]!;
  }

  get #mayAsk(): boolean {
    return this.#options.direct && this.#options.clock.monotonicMs() >= this.#avoidUntilMs;
  }

  #be(url: string, isElsewhere: boolean): void {
    this.#url = url;
    this.#isElsewhere = isElsewhere;
  }

  #ask(go: (url: string) => void): () => void {
    const asking = new AbortController();
    this.#be(this.#entryUrl, false);
    void this.#options
      .ask(this.#entryUrl, asking.signal)
      // Without an answer the entry itself is tried: it may be of a version that has no such call.
      .catch(() => this.#entryUrl)
      .then((url) => {
        if (asking.signal.aborted) return;
        this.#be(url, url !== this.#entryUrl);
        go(url);
      });
    return () => asking.abort();
  }

  /** With several entries and a home that comes and goes, each failure doubles the time at the entries. */
  #avoid(): void {
    this.#avoidUntilMs = this.#options.clock.monotonicMs() + this.#avoidMs;
    this.#avoidMs = Math.min(AVOID_MS_MAX, 2 * this.#avoidMs);
  }
}
