/** Reads a number of a frame without parsing the frame. */

/** The digits after `key`; NaN when there are none. */
export function numberAfter(text: string, key: string): number {
  const found = text.indexOf(key);
  if (found < 0) return Number.NaN;
  let value = 0;
  let at = found + key.length;
  for (let digit = text.charCodeAt(at) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - 48)
    value = value * 10 + digit;
  return value;
}
