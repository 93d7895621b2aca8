/** A ref as prefix and counter. One comparison then tells rising refs (`k3f9-17`, `k3f9-18`) from repeats. */
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
 * `isComplete`: in the last minute no counter above `counterMax` was used with this prefix, not even before this record
 * was made.
 */
type PrefixUse = { prefix: string; counterMax: number; isComplete: boolean; at: number };

/**
 * The refs that one user used lately, as far as is needed for the question "may this ref be a repeat?": for each prefix
 * the highest counter. A higher counter is certainly new. Any other ref must be looked up in the log.
 *
 * A ref that is not held here was used longer ago than `RECENT_REF_MS`, or before this object was made, or was dropped
 * for lack of room. In the last two cases there is a time after which this no longer matters (`holdsAll`). All times
 * are monotonic, so a change of the wall clock or a restart changes nothing.
 *
 * Never answers "new" for a repeat of the last minute.
 */
export class RecentRefs {
  /** While there is one prefix, it is `#only`, and there is no map. */
  #seen: Map<string, PrefixUse> | undefined = undefined;
  #only: PrefixUse | undefined = undefined;
  /**
   * The record last used. Most users send from one device at a time, so its prefix is compared first. It is complete.
   */
  #last: PrefixUse | undefined = undefined;
  #sweepAt: number;
  #holdsAllFrom: number;

  /** @param nowMs refs used before are not held */
  constructor(nowMs: number) {
    this.#holdsAllFrom = this.#sweepAt = nowMs + RECENT_REF_MS;
  }

  /** Prefixes held. */
  get size(): number {
    return this.#seen?.size ?? (this.#only === undefined ? 0 : 1);
  }

  /** Whether every ref that is not held is new, or older than a minute. */
  holdsAll(nowMs: number): boolean {
    return nowMs >= this.#holdsAllFrom;
  }

  /** True: look it up. False: it is new. Undefined: unknown prefix; it is new if `holdsAll`. */
  mayRepeat(ref: string): boolean | undefined {
    const last = this.#last;
    if (last !== undefined) {
      const counter = counterBehind(last.prefix, ref);
      if (counter >= 0) return counter <= last.counterMax;
    }
    const { prefix, counter } = splitRef(ref);
    const seen = this.#find(prefix);
    if (seen === undefined) return undefined;
    if (counter <= seen.counterMax) return true;
    if (!seen.isComplete) return undefined;
    this.#last = seen;
    return false;
  }

  /** Notes that a ref was used. */
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
   * Notes the highest counter that was ever used with the prefix, -1 for none. From now on refs of this prefix above it
   * are known to be new.
   */
  noteHighest(prefix: string, counterMax: number, nowMs: number): void {
    this.#hold(prefix, counterMax, true, nowMs);
  }

  #hold(prefix: string, counter: number, isComplete: boolean, nowMs: number): void {
    let seen = this.#find(prefix);
    if (seen === undefined) {
      if (this.size >= PREFIXES_MAX) this.#forget(nowMs);
      seen = { prefix, counterMax: counter, isComplete, at: nowMs };
      this.#add(seen);
    } else {
      seen.at = nowMs;
      if (counter > seen.counterMax) seen.counterMax = counter;
      if (isComplete) seen.isComplete = true;
    }
    if (seen.isComplete) this.#last = seen;
  }

  #find(prefix: string): PrefixUse | undefined {
    if (this.#seen !== undefined) return this.#seen.get(prefix);
    return this.#only?.prefix === prefix ? this.#only : undefined;
  }

  #add(seen: PrefixUse): void {
    const { prefix } = seen;
    if (this.#seen !== undefined) this.#seen.set(prefix, seen);
    else if (this.#only === undefined) this.#only = seen;
    else this.#seen = new Map([this.#only, seen].map((use) => [use.prefix, use]));
  }

  #forget(nowMs: number): void {
    this.#seen = this.#only = this.#last = undefined;
    this.#holdsAllFrom = nowMs + RECENT_REF_MS;
  }

  #sweep(nowMs: number): void {
    this.#sweepAt = nowMs + RECENT_REF_MS;
    this.#last = undefined;
    for (const seen of this.#seen?.values() ?? (this.#only === undefined ? [] : [this.#only])) {
      if (nowMs - seen.at <= RECENT_REF_MS) continue;
      this.#seen?.delete(seen.prefix);
      this.#only = undefined;
    }
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

/**
 * Prefixes held for a user. A client that makes a new prefix for each message costs memory up to here, and look-ups
 * above it.
 */
export const PREFIXES_MAX = 1024;

/** The key of an erased message's ref. No ref begins with this character, since refs are printable. */
export const erasedKey = (ref: string): string => `\u007f${ref}`;

/**
 * How long refs of sends without `retry` are held, ms. The protocol promises at least a minute by the client's clock.
 */
export const RECENT_REF_MS = 120_000;
