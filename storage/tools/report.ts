/** What `verify` says: what is wrong, where, what that means and what to do. */
import { CorruptionError } from "../errors.ts";

/** What kind of wrong it is decides what to do about it. */
export type FindingKind = keyof typeof ADVICE;

const RESTORE = 'run "parley repair", which saves what is whole; or restore the directory from a backup';

const ADVICE = {
  /** Bytes are not those that were written. */
  changed: RESTORE,
  damaged: RESTORE,
  missing: RESTORE,
  /** Files that are whole and do not belong together. */
  disagrees: "these files are not of the same moment: restore the whole directory from one backup",
  /** A server found the shard damaged, and serves the others. */
  closed: 'the server keeps this shard closed until it is repaired: run "parley repair"',
  /** Two servers at the same time. */
  writers:
    "what one of them acknowledged may be missing: restore the whole directory from a backup made before; to go on with what is there, remove wal/openings",
  newer: "look with the newer parley that wrote it; if none did, the file is damaged: restore it from a backup",
  unknown: "the server does not know this file: move it out of the data directory",
} as const;

export type Finding = {
  kind: FindingKind;
  /** From the data directory. */
  file: string;
  /** Byte, or table and row, or "all of it". */
  place: string;
  what: string;
  advice: string;
};

const FINDINGS_MAX = 1000;

/** Keeps the first findings and counts the rest: a directory that is damaged all over must not fill the memory. */
export class Findings {
  readonly list: Finding[] = [];
  count = 0;

  add(kind: FindingKind, file: string, place: string, what: string): void {
    this.count++;
    if (this.list.length < FINDINGS_MAX) this.list.push({ kind, file, place, what, advice: ADVICE[kind] });
  }
}

/** What is said of a file whose bytes nobody gets. */
export function unreadable(error: unknown): string {
  if (error instanceof CorruptionError) return error.message.slice(error.file.length + 2);
  return `it cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`;
}

export type VerifyReport = {
  directory: string;
  /** Worst first come the files themselves, then the log, then shards. */
  findings: Finding[];
  /** How many there are, also those that are not listed. */
  findingCount: number;
  /** What a crash left and the next start mends, and what could not be checked. Nothing is wrong with it. */
  notes: string[];
  /**
   * Files whose every byte was compared with what the server left at its last stop; the rest is checked as far as it is
   * used.
   */
  coveredFiles: number;
  files: number;
  bytes: number;
  log: { files: number; bytes: number; records: number };
  shards: number;
  streams: number;
  entries: number;
  keys: number;
  cells: number;
  blocks: number;
};

export const emptyReport = (directory: string): VerifyReport => ({
  directory,
  findings: [],
  findingCount: 0,
  notes: [],
  coveredFiles: 0,
  files: 0,
  bytes: 0,
  log: { files: 0, bytes: 0, records: 0 },
  shards: 0,
  streams: 0,
  entries: 0,
  keys: 0,
  cells: 0,
  blocks: 0,
});
