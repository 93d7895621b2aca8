/**
 * Bytes of a log to text. What is not what it is said to be is refused: a byte that a decoder replaces stands for itself no more, and two nicks that differ in such
 * a byte would become one person.
 */
export const ENCODINGS = ["utf-8", "latin1", "mixed"] as const;
export type Encoding = (typeof ENCODINGS)[number];

/** A byte order mark is left in; the reader of the lines takes it away. */
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** Its Windows variety: what it has more than ISO 8859-1 stands where that has only control characters. Each byte is a character of its own. */
const LATIN1 = new TextDecoder("windows-1252");
const NEWLINE = 10;

/** @param name of the file, for the message. @throws when the bytes are not of this encoding */
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
