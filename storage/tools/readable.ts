/** Bytes for people. The store does not know what they mean: text where they are text, hexadecimal otherwise. */

const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/; // eslint-disable-line no-control-regex -- that is what is looked for.

/** The text that the bytes are, undefined where they are not UTF-8 or hold control characters. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return CONTROL.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

export const readable = (bytes: Uint8Array): string => textOf(bytes) ?? `0x${Buffer.from(bytes).toString("hex")}`;

/** One line of a terminal: no control characters, which could do things there. */
export function oneLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- those are what is replaced.
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    if (character === "\n") return "\\n";
    if (character === "\t") return "\\t";
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
