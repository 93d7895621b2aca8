/**
 * The texts of the load: lines of real conversations if there is a corpus, otherwise made-up lines. Those have the
 * lengths of chat and pack about as well (zstd, blocks of 16 KiB: 0.42, the corpus 0.45), so that a run without the
 * corpus gives similar figures.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../storage/measure.ts";

export type Texts = { source: "corpus" | "made-up"; lines: string[]; meanBytes: number };

const LINES_MAX = 20_000;

const LINE = /^\[\d\d:\d\d\] <[^>]+> (.+)$/;
const VOCABULARY = 40_000;
const SYLLABLES =
  "a be co di en fo gra hi in jo ka le mo nu or pe qua ri so te un ve wi ys er tion st ing th ou ea".split(" ");
const ENDINGS = ["", "", "", "", "?", "!", ".", " :)", "..."];
/** Average bytes of a line beyond the shortest. */
const LINE_BYTES = 38;
const LINE_BYTES_MIN = 5;
const LINE_BYTES_MAX = 400;

/** `dir` holds `*.log` files, or folders of them. Undefined `dir` gives the made-up texts. */
export function loadTexts(dir: string | undefined, linesMax = LINES_MAX): Texts {
  const lines = dir === undefined ? madeUpLines(linesMax) : corpusLines(dir, linesMax);
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

/**
 * Always the same lines. Word frequencies are those of speech: the nth most frequent word is drawn about 1/n as often
 * as the first.
 */
function madeUpLines(count: number): string[] {
  const random = seededRandom(count);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const words = Array.from({ length: VOCABULARY }, (_, rank) =>
    Array.from({ length: 1 + Math.floor(random() * (rank < 50 ? 2 : 4)) }, () => pick(SYLLABLES)).join(""),
  );
  const word = (): string => words[Math.floor(VOCABULARY ** random()) - 1] as string;
  return Array.from({ length: count }, () => {
    const bytes = Math.min(LINE_BYTES_MAX, LINE_BYTES_MIN - LINE_BYTES * Math.log(1 - random()));
    let text = word();
    while (text.length < bytes) text += ` ${word()}`;
    return text + pick(ENDINGS);
  });
}
