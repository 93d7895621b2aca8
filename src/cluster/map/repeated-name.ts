/** Finds a name that an object of a JSON text has twice: JSON.parse keeps the last, and says nothing. */

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/g;

/** @param text is valid JSON. @returns the first such name; undefined if there is none */
export function repeatedName(text: string): string | undefined {
  /** Names of each object that is open; an empty one for an array, which has no names. */
  const open: Set<string>[] = [];
  let last = "";
  for (const [token] of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const name = JSON.parse(last) as string;
      if (open.at(-1)!.has(name)) return name;
      open.at(-1)!.add(name);
    }
    last = token;
  }
  return undefined;
}
