/**
 * Decodes the bytes of a log. Bytes that are not in the stated encoding are refused: a decoder would replace them, and
 * two nicks that differ only in such a byte would become one user.
 */
export const ENCODINGS = ["utf-8", "latin1", "mixed"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** Keeps a byte order mark; the line parser removes it. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/**
 * The Windows variant: its extra characters are where ISO 8859-1 has only control characters. Each byte is one
 * character.
 */
const LATIN1 = new TextDecoder("windows-1252");
const NEWLINE = 10;

/** @param name of the file, for errors. @throws when the bytes are not in this encoding */
export function decodeLog(bytes: Uint8Array, encoding: Encoding, name: string): string {
  if (encoding === "latin1") return LATIN1.decode(bytes);
  const text = utf8(bytes);
  if (text !== undefined) return text;
  const lines = [...linesOf(bytes)];
  if (encoding === "mixed") return lines.map((line) => utf8(line) ?? LATIN1.decode(line)).join("\n");
  const number = lines.findIndex((line) => utf8(line) === undefined) + 1;
  throw new Error(
    `${name}, line ${number}: this is not UTF-8; give --encoding latin1, or mixed where only some lines are not`,
  );
}

function utf8(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}

function* linesOf(bytes: Uint8Array): Generator<Uint8Array> {
  let from = 0;
  for (let to = bytes.indexOf(NEWLINE); to !== -1; to = bytes.indexOf(NEWLINE, from)) {
    yield bytes.subarray(from, to);
    from = to + 1;
  }
  yield bytes.subarray(from);
}
