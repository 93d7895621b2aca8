/** What the load says: lines of real conversations when a corpus is at hand, otherwise made-up text of about the same size. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export type Texts = { source: "corpus" | "made-up"; lines: string[]; meanBytes: number };

const LINE = /^\[\d\d:\d\d\] <[^>]+> (.+)$/;
const WORDS = "the log is read again from its checkpoint and so every message finds the place that it had before".split(
  " ",
);

/** `dir` holds `*.log` files, or folders of them. Undefined `dir` gives the made-up texts. */
export function loadTexts(dir: string | undefined, linesMax: number): Texts {
  const lines = dir === undefined ? madeUpLines(Math.min(linesMax, 1000)) : corpusLines(dir, linesMax);
  const bytes = lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
  return { source: dir === undefined ? "made-up" : "corpus", lines, meanBytes: Math.round(bytes / lines.length) };
}

function corpusLines(dir: string, linesMax: number): string[] {
  const lines: string[] = [];
  for (const file of logFiles(dir)) {
    for (const line of readFileSync(file, "utf8").split("\n")) {
      const text = LINE.exec(line)?.[1];
      if (text !== undefined && lines.push(text) === linesMax) return lines;
    }
  }
  if (lines.length === 0)
    throw new Error(
      `corpus: no lines like "[hh:mm] <nick> text" in *.log files under ${dir}; give another --corpus DIR`,
    );
  return lines;
}

function logFiles(dir: string): string[] {
  if (!existsSync(dir))
    throw new Error(`corpus: ${dir} does not exist; give another --corpus DIR, or leave it out for made-up texts`);
  return readdirSync(dir, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".log"))
    .sort()
    .map((name) => join(dir, name));
}

function madeUpLines(count: number): string[] {
  return Array.from({ length: count }, (_, at) => {
    let text = `line ${at}:`;
    for (let word = at; text.length < 60 + ((at * 37) % 80); word += 7) text += ` ${WORDS[word % WORDS.length]}`;
    return text;
  });
}
