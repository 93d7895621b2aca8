/**
 * Reads `{"t":"received","seq":7}` without making an object of it first. A client confirms every message by such a
 * frame, so nearly half of all frames are of this form. All other spellings are left to `JSON.parse`.
 */

const BEFORE = '{"t":"received","seq":';
/** More digits may be above what a seq can be: left to the checks of the other way. */
const DIGITS_MAX = 14;
const ZERO = 48;
const BRACE = 125;

/** The seq; undefined for every other text. */
export function plainReceived(text: string): number | undefined {
  const end = text.length - 1;
  const digits = end - BEFORE.length;
  if (digits < 1 || digits > DIGITS_MAX || text.charCodeAt(end) !== BRACE || !text.startsWith(BEFORE)) return undefined;
  // JSON allows no number that begins with 0, but 0.
  if (digits > 1 && text.charCodeAt(BEFORE.length) === ZERO) return undefined;
  let seq = 0;
  for (let at = BEFORE.length; at < end; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return undefined;
    seq = seq * 10 + digit;
  }
  return seq;
}
