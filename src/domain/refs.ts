/** A ref as prefix and counter: refs that rise (`k3f9-17`, `k3f9-18`) are then told apart from repeats by one comparison. */
export type SplitRef = { prefix: string; counter: number };

const DIGITS_MAX = 15;

/** The counter is the trailing decimal number without leading zeros, of at most 15 digits; -1 when there is none. */
export function splitRef(ref: string): SplitRef {
  let at = ref.length;
  while (at > 0 && isDigit(ref.charCodeAt(at - 1))) at--;
  const digits = ref.length - at;
  const isCounter = digits > 0 && digits <= DIGITS_MAX && (digits === 1 || ref.charCodeAt(at) !== 48);
  return isCounter ? { prefix: ref.slice(0, at), counter: Number(ref.slice(at)) } : { prefix: ref, counter: -1 };
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;

type Seen = { counterMax: number; at: number };

/**
 * The refs of one user that were used in the last minute, as far as "may this be a repeat?" needs them: for each prefix the highest counter.
 * A new counter above it is certainly new. Anything else must be looked up in the log. Never says "new" for a repeat of the last minute.
 */
export class RecentRefs {
  readonly #seen = new Map<string, Seen>();
  #sweepAt = 0;

  mayRepeat({ prefix, counter }: SplitRef): boolean {
    const seen = this.#seen.get(prefix);
    return seen !== undefined && counter <= seen.counterMax;
  }

  note({ prefix, counter }: SplitRef, nowMs: number): void {
    const seen = this.#seen.get(prefix);
    if (seen === undefined) this.#seen.set(prefix, { counterMax: counter, at: nowMs });
    else {
      seen.at = nowMs;
      if (counter > seen.counterMax) seen.counterMax = counter;
    }
    if (nowMs > this.#sweepAt) this.#sweep(nowMs);
  }

  #sweep(nowMs: number): void {
    this.#sweepAt = nowMs + RECENT_REF_MS;
    for (const [prefix, seen] of this.#seen) if (nowMs - seen.at > RECENT_REF_MS) this.#seen.delete(prefix);
  }
}

/** How long an unmarked ref is held against repeats; the contract asks for a minute at least. */
export const RECENT_REF_MS = 120_000;
