/**
 * The layout of every help text: `Usage: …`, a description, tables of two columns. As wide as the terminal, between 80
 * and 100 columns.
 */

/** Further texts of a row go below its second column. */
export type Row = readonly [left: string, ...right: string[]];
export type Section = { title?: string; rows: readonly Row[] } | string;

const COLUMNS_MAX = 100;
/** Minimum width: in fewer columns the tables cannot be wrapped. */
const COLUMNS_MIN = 80;
const INDENT = "  ";
const UNBROKEN_SPACE = "\u00a0";

/** @param sections tables, and paragraphs between them */
export function helpText(usage: readonly string[], sections: readonly Section[], columns = COLUMNS_MAX): string {
  const width = Math.max(COLUMNS_MIN, Math.min(COLUMNS_MAX, columns));
  const head = usage.map((line, at) => `${at === 0 ? "Usage: " : "       "}${line}`);
  // All tables of one help share their first column.
  const left = Math.max(0, ...sections.flatMap((section) => rowsOf(section).map(([text]) => text.length)));
  const parts = sections.map((section) =>
    typeof section === "string" ? wrapped(section, width) : table(section, left, width),
  );
  return [head, ...parts].map((lines) => `${lines.join("\n")}\n`).join("\n");
}

const rowsOf = (section: Section): readonly Row[] => (typeof section === "string" ? [] : section.rows);

function table({ title, rows }: Exclude<Section, string>, left: number, width: number): string[] {
  const room = width - INDENT.length - left - INDENT.length;
  const lines = rows.flatMap(([first, ...texts]) =>
    texts
      .flatMap((text) => wrapped(text, room))
      .map((line, at) => `${INDENT}${(at === 0 ? first : "").padEnd(left)}${INDENT}${line}`),
  );
  return title === undefined ? lines : [title, ...lines];
}

/** Wraps at spaces. A word that is longer than a line gets a line of its own. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => each.replaceAll(UNBROKEN_SPACE, " "));
}

/** Keeps a command on one line, so that it can be copied. */
export const unbroken = (text: string): string => text.replaceAll(" ", UNBROKEN_SPACE);
