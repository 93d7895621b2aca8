/** Shared parts of the commands that look into a data directory. */
import { API_KEYS_FILE } from "../home/accounts/api-keys.ts";
import { SHARD_COUNT, type ShardId } from "../../storage/types.ts";
import { CONSTANT_FILES } from "./data-directory.ts";
import { FatalError } from "./fatal-error.ts";
import type { Io } from "./io.ts";
import { flag, integer, text } from "./options.ts";
import { ProgressBar, stderrOutput } from "./progress-bar.ts";

const SECTION = "Options";

export const DATA = text({
  section: SECTION,
  summary: "the server's data directory",
  placeholder: "DIR",
  initial: "./data",
  expected: "a directory",
  accepts: (value) => value !== "" && !value.includes("\0"),
});

export const JSON_LINES = flag({ section: SECTION, summary: "for programs: JSON, one object a line" });

export const LIMIT = integer({
  section: SECTION,
  summary: "how many lines to show at most",
  initial: 50,
  min: 1,
  max: 1_000_000_000,
});

/** The server's files in the data directory beside the store. */
export const COMPANIONS = { constant: CONSTANT_FILES, changing: ["LOCK", API_KEYS_FILE] };

/** @throws FatalError usage */
export function parseShard(word: string): ShardId {
  const shard = /^\d{1,3}$/.test(word) ? Number(word) : NaN;
  if (shard < SHARD_COUNT) return shard as ShardId;
  throw new FatalError(
    "usage",
    `${JSON.stringify(word.slice(0, 64))} is no shard: expected a whole number from 0 to ${SHARD_COUNT - 1}`,
  );
}

/** The single word after a command. @throws FatalError usage */
export function oneWord([word, more]: readonly string[], what: string): string {
  if (word === undefined) throw new FatalError("usage", `no ${what} was named`);
  if (more !== undefined)
    throw new FatalError("usage", `one ${what} at a time, not also ${JSON.stringify(more.slice(0, 64))}`);
  return word;
}

const MIB = 1 << 20;
/** Shorter work needs no bar. */
const SHOWN_FROM_BYTES = 32 * MIB;

/** A progress bar over bytes, on a terminal only. Each name begins a new line. */
export class BytesProgress {
  readonly #isShown: boolean;
  #bar: ProgressBar | undefined;
  #name = "";

  constructor({ isStderrTerminal }: Io) {
    this.#isShown = isStderrTerminal === true;
  }

  set(name: string, done: number, total: number): void {
    if (!this.#isShown || total < SHOWN_FROM_BYTES) return;
    const totalMib = Math.ceil(total / MIB);
    if (this.#bar === undefined) this.#bar = new ProgressBar(`${name}, MiB`, totalMib, stderrOutput());
    else if (this.#name !== name) this.#bar.phase(`${name}, MiB`, totalMib);
    this.#name = name;
    this.#bar.set(Math.min(totalMib, Math.round(done / MIB)));
  }

  finish(): void {
    this.#bar?.finish();
  }
}

/** `1.2 MiB`, and below a KiB the bytes. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const step = Math.min(units.length - 1, bytes < 1024 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

/** `1,234,567` */
export const formatCount = (count: number): string => count.toLocaleString("en-US");

/** `1 file`, `2 files` */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`;

/**
 * A table with columns as wide as their content, two spaces between. The last column is not padded. `right` are the
 * columns of numbers.
 */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = [], indent = ""): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, Bun.stringWidth(cell));
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => {
        const blank = " ".repeat((widths[column] ?? 0) - Bun.stringWidth(cell));
        if (right.includes(column)) return blank + cell;
        return column === row.length - 1 ? cell : cell + blank;
      })
      .join("  ");
  return rows.map((row) => `${indent}${line(row)}\n`).join("");
}
