/**
 * The little XML that a client of a benchmark needs. A stream is cut into its top-level elements by searching for their
 * closing tags, and they are searched for attributes, not parsed. Both is right only because servers escape `<` in
 * texts, and because no stanza that the bench asks for has another one of the same name inside.
 */

/** Position behind the top-level element that begins at `start`, or -1 while it is not all there. */
export function stanzaEnd(text: string, start: number): number {
  const head = text.indexOf(">", start);
  if (head < 0) return -1;
  const name = nameAt(text, start, head);
  // The XML declaration, the stream's own tags, and empty elements end with their first tag.
  if (name.startsWith("?") || name.endsWith("stream:stream") || text[head - 1] === "/") return head + 1;
  const closing = `</${name}>`;
  const found = text.indexOf(closing, head);
  return found < 0 ? -1 : found + closing.length;
}

function nameAt(text: string, start: number, head: number): string {
  if (text.startsWith("<message ", start)) return "message";
  return /^[^\s/>]+|^\/[^\s>]+/.exec(text.slice(start + 1, head))?.[0] ?? "";
}

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

export function escapeXml(text: string): string {
  return text.replace(/[&<>]/g, (character) => ESCAPES[character]!);
}

export function unescapeXml(text: string): string {
  return text.replace(/&(?:#(x?)([\da-f]+)|(\w+));/gi, (all, hex: string, code: string | undefined, name: string) =>
    code === undefined ? (ENTITIES[name] ?? all) : String.fromCodePoint(Number.parseInt(code, hex === "" ? 10 : 16)),
  );
}

/** XML cannot carry most control characters, which lines of IRC have for colours. */
export function carriedByXml(text: string): string {
  return text.toWellFormed().replace(/[^\t -\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, " ");
}
