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

type Seen = { prefix: string; counterMax: number; at: number };

/**
 * The refs of one user that were used in the last minute, as far as "may this be a repeat?" needs them: for each prefix the highest counter.
 * A counter above it is certainly new. Anything else must be looked up in the log. Never says "new" for a repeat of the last minute.
 */
export class RecentRefs {
  readonly #seen = new Map<string, Seen>();
  /** Most users send from one device at a time: its prefix is compared before anything is cut or looked up. */
  #last: Seen | undefined;
  #sweepAt = 0;
  /** Too many prefixes to hold: until the next sweep every ref may be a repeat. */
  #isOverfull = false;

  /** Prefixes held. */
  get size(): number {
    return this.#seen.size;
  }

  mayRepeat(ref: string): boolean {
    if (this.#isOverfull) return true;
    const last = this.#last;
    if (last !== undefined) {
      const counter = counterBehind(last.prefix, ref);
      if (counter >= 0) return counter <= last.counterMax;
    }
    const { prefix, counter } = splitRef(ref);
    const seen = this.#seen.get(prefix);
    if (seen !== undefined) this.#last = seen;
    return seen !== undefined && counter <= seen.counterMax;
  }

  note(ref: string, nowMs: number): void {
    const last = this.#last;
    const counter = last === undefined ? -1 : counterBehind(last.prefix, ref);
    if (last !== undefined && counter >= 0) {
      last.at = nowMs;
      if (counter > last.counterMax) last.counterMax = counter;
    } else this.#noteSplit(splitRef(ref), nowMs);
    if (nowMs > this.#sweepAt) this.#sweep(nowMs);
  }

  #noteSplit({ prefix, counter }: SplitRef, nowMs: number): void {
    const seen = this.#seen.get(prefix);
    if (seen === undefined) {
      if (this.#seen.size >= PREFIXES_MAX) return this.#overflow(nowMs);
      this.#last = { prefix, counterMax: counter, at: nowMs };
      this.#seen.set(prefix, this.#last);
      return;
    }
    seen.at = nowMs;
    if (counter > seen.counterMax) seen.counterMax = counter;
    this.#last = seen;
  }

  #overflow(nowMs: number): void {
    this.#isOverfull = true;
    this.#seen.clear();
    this.#last = undefined;
    this.#sweepAt = nowMs + RECENT_REF_MS;
  }

  #sweep(nowMs: number): void {
    this.#isOverfull = false;
    this.#sweepAt = nowMs + RECENT_REF_MS;
    this.#last = undefined;
    for (const [prefix, seen] of this.#seen) if (nowMs - seen.at > RECENT_REF_MS) this.#seen.delete(prefix);
  }
}

/** The counter of `ref` when it is `prefix` and a counter, as `splitRef` would cut it; -1 otherwise. */
function counterBehind(prefix: string, ref: string): number {
  const { length } = prefix;
  const digits = ref.length - length;
  if (digits < 1 || digits > DIGITS_MAX || !ref.startsWith(prefix)) return -1;
  if (length > 0 && isDigit(prefix.charCodeAt(length - 1))) return -1;
  if (digits > 1 && ref.charCodeAt(length) === 48) return -1;
  let counter = 0;
  for (let at = length; at < ref.length; at++) {
    const code = ref.charCodeAt(at);
    if (!isDigit(code)) return -1;
    counter = counter * 10 + code - 48;
  }
  return counter;
}

/** A client that makes a new prefix for each message costs memory up to here, and look-ups from there. */
const PREFIXES_MAX = 1024;

/** Under what the ref of an erased message is found: no ref begins so, since refs are printable. */
export const erasedKey = (ref: string): string => `\u007f${ref}`;

/** How long an unmarked ref is held against repeats; the contract asks for a minute at least. */
export const RECENT_REF_MS = 120_000;
