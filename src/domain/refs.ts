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

/**
 * `isComplete`: nothing above `counterMax` was used with this prefix in the last minute, not even before this was held.
 */
type Seen = { prefix: string; counterMax: number; isComplete: boolean; at: number };

/**
 * The refs of one user that were used lately, as far as "may this be a repeat?" needs them: for each prefix the highest
 * counter. A counter above it is certainly new. Anything else is to be looked up in the log.
 *
 * What is not held was used longer ago than `RECENT_REF_MS`, or before this was made, or was forgotten for want of
 * room; for the last two there is a moment from which on it no longer matters (`holdsAll`). All times are of a clock
 * that only rises: no calendar says how long ago a message was, neither here nor across a restart.
 *
 * Never says "new" for a repeat of the last minute.
 */
export class RecentRefs {
  readonly #seen = new Map<string, Seen>();
  /**
   * Most users send from one device at a time: its prefix is compared before anything is cut or looked up. Complete.
   */
  #last: Seen | undefined;
  #sweepAt: number;
  #holdsAllFrom: number;

  /** @param nowMs what was used before is not held */
  constructor(nowMs: number) {
    this.#holdsAllFrom = this.#sweepAt = nowMs + RECENT_REF_MS;
  }

  /** Prefixes held. */
  get size(): number {
    return this.#seen.size;
  }

  /** Whether refs that are not held are certainly older than a minute, or new. */
  holdsAll(nowMs: number): boolean {
    return nowMs >= this.#holdsAllFrom;
  }

  /**
   * True: it has to be looked up. False: it is new. Undefined: nothing is held that tells; it is new when all is held.
   */
  mayRepeat(ref: string): boolean | undefined {
    const last = this.#last;
    if (last !== undefined) {
      const counter = counterBehind(last.prefix, ref);
      if (counter >= 0) return counter <= last.counterMax;
    }
    const { prefix, counter } = splitRef(ref);
    const seen = this.#seen.get(prefix);
    if (seen === undefined) return undefined;
    if (counter <= seen.counterMax) return true;
    if (!seen.isComplete) return undefined;
    this.#last = seen;
    return false;
  }

  /** A ref is used. */
  note(ref: string, nowMs: number): void {
    const last = this.#last;
    const counter = last === undefined ? -1 : counterBehind(last.prefix, ref);
    if (last !== undefined && counter >= 0) {
      last.at = nowMs;
      if (counter > last.counterMax) last.counterMax = counter;
    } else {
      const split = splitRef(ref);
      this.#hold(split.prefix, split.counter, this.holdsAll(nowMs), nowMs);
    }
    if (nowMs > this.#sweepAt) this.#sweep(nowMs);
  }

  /**
   * The highest counter that was ever used with the prefix, -1 for none: from now on it is known which of its refs are
   * new.
   */
  noteHighest(prefix: string, counterMax: number, nowMs: number): void {
    this.#hold(prefix, counterMax, true, nowMs);
  }

  #hold(prefix: string, counter: number, isComplete: boolean, nowMs: number): void {
    let seen = this.#seen.get(prefix);
    if (seen === undefined) {
      if (this.#seen.size >= PREFIXES_MAX) this.#forget(nowMs);
      seen = { prefix, counterMax: counter, isComplete, at: nowMs };
      this.#seen.set(prefix, seen);
    } else {
      seen.at = nowMs;
      if (counter > seen.counterMax) seen.counterMax = counter;
      if (isComplete) seen.isComplete = true;
    }
    if (seen.isComplete) this.#last = seen;
  }

  #forget(nowMs: number): void {
    this.#seen.clear();
    this.#last = undefined;
    this.#holdsAllFrom = nowMs + RECENT_REF_MS;
  }

  #sweep(nowMs: number): void {
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
export const PREFIXES_MAX = 1024;

/** Under what the ref of an erased message is found: no ref begins so, since refs are printable. */
export const erasedKey = (ref: string): string => `\u007f${ref}`;

/**
 * How long an unmarked ref is held against repeats, ms; the contract asks for a minute at least, by the clock of a
 * client that is somewhere else.
 */
export const RECENT_REF_MS = 120_000;
