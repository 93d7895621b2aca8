/**
 * Replaces the data directory by its repaired copy. A kill at any step leaves both directories whole, and the next
 * `parley repair --in-place` knows what is left to do.
 *
 *     DIR                  the damaged directory, then the repaired one
 *     DIR.repair-done      the complete copy, then the damaged directory
 *     DIR.damaged          the damaged directory, at the end
 *     DIR.repair-swap      which directory is which, by inode; there from before the first step until after the last
 *
 * 1. DIR.repair-swap is written          a kill after 1 or 2: DIR is unchanged, the repair begins anew 2. copy  
 *   -> DIR.repair-done 3. DIR            <-> DIR.repair-done  in one step. A kill after it: step 4 is left 4.
 * DIR.repair-done -> DIR.damaged 5. DIR.repair-swap is removed
 *
 * Where the file system cannot exchange two names, step 3 is DIR -> DIR.damaged and then DIR.repair-done -> DIR. A kill
 * between these two leaves no DIR. Then no server starts there (`hasUnfinishedSwap`), and the next repair does the
 * second rename.
 */
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { lockDataDirectory } from "./data-directory.ts";
import { exchangeNames } from "./exchange-names.ts";
import { FatalError } from "./fatal-error.ts";
import { journalPath } from "./repair-journal.ts";

/** The calls that change names. A test counts them and stops at one. */
export type Names = {
  write: (path: string, text: string) => void;
  rename: (from: string, to: string) => void;
  /** Returns false where that is not possible. */
  exchange: (one: string, other: string) => boolean;
  remove: (path: string) => void;
};

export const systemNames: Names = {
  write: writeDurably,
  rename(from, to) {
    fs.renameSync(from, to);
    syncDirectory(dirname(to));
  },
  exchange(one, other) {
    if (!exchangeNames(one, other)) return false;
    syncDirectory(dirname(one));
    return true;
  },
  remove(path) {
    fs.rmSync(path, { recursive: true, force: true });
    syncDirectory(dirname(path));
  },
};

type Journal = { damaged: string; whole: string; kept: string; reportAt: string };
export type Swapped = { kept: string | undefined; reportAt: string };

const donePath = (source: string): string => `${source}.repair-done`;

/**
 * @param copy complete, synchronized and locked by the caller, beside `source`
 * @returns where the damaged directory is now
 */
export function swapInPlace(source: string, copy: string, reportAt: string, names: Names = systemNames): string {
  const kept = freeName(`${source}.damaged`);
  const done = donePath(source);
  if (fs.existsSync(done)) throw new FatalError("usage", `${done} is there already; move it away`);
  const journal: Journal = { damaged: identityOf(source)!, whole: identityOf(copy)!, kept, reportAt };
  names.write(journalPath(source), `${JSON.stringify(journal)}\n`);
  names.rename(copy, done);
  if (names.exchange(source, done)) names.rename(done, kept);
  else {
    names.rename(source, kept);
    names.rename(done, source);
  }
  names.remove(journalPath(source));
  return kept;
}

/**
 * Finishes an interrupted run.
 * @returns undefined when the directory is still unchanged, or no run was interrupted: the repair begins
 * @throws FatalError when the names were changed meanwhile, or another repair is at work
 */
export function finishSwap(source: string, names: Names = systemNames): Swapped | undefined {
  const journal = readJournal(source);
  if (journal === undefined) return undefined;
  const done = donePath(source);
  const { damaged, whole, kept, reportAt } = journal;
  const [atSource, atDone, atKept] = [source, done, kept].map(identityOf);
  if (atSource === damaged) return beginAnew(source, atDone === whole, names);
  if (atSource === undefined && atKept === damaged && atDone === whole) {
    names.rename(done, source);
    names.remove(journalPath(source));
    return { kept, reportAt };
  }
  if (atSource !== whole) throw strange(source, done, kept);
  let keptAt = atKept === damaged ? kept : undefined;
  if (atDone === damaged) names.rename(done, (keptAt = freeName(`${source}.damaged`)));
  names.remove(journalPath(source));
  return { kept: keptAt, reportAt };
}

/** A server may have written to the directory since, so the old copy is useless. */
function beginAnew(source: string, isCopyThere: boolean, names: Names): undefined {
  const done = donePath(source);
  // A running repair has its copy locked.
  if (isCopyThere) lockDataDirectory(done).release();
  if (isCopyThere) names.remove(done);
  names.remove(journalPath(source));
}

function strange(source: string, done: string, kept: string): FatalError {
  const hint = `see what is in ${done} and ${kept}, put one of them at ${source}, and remove ${journalPath(source)}`;
  return new FatalError(
    "dataUnwritable",
    `a repair of ${source} was cut short, and its directories were moved afterwards`,
    {
      hint,
    },
  );
}

function readJournal(source: string): Journal | undefined {
  const path = journalPath(source);
  if (!fs.existsSync(path)) return undefined;
  try {
    return JSON.parse(fs.readFileSync(path, "utf8")) as Journal;
  } catch (error) {
    throw new FatalError("corrupt", `${path} cannot be read`, {
      hint: "see what it says, and remove it",
      cause: error,
    });
  }
}

function identityOf(path: string): string | undefined {
  const found = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}`;
}

/** `path`, or `path-2` and so on: a name that is not in use. */
export function freeName(path: string, end = ""): string {
  let free = `${path}${end}`;
  for (let n = 2; fs.existsSync(free); n++) free = `${path}-${n}${end}`;
  return free;
}

export function syncDirectory(path: string): void {
  const directory = fs.openSync(path, "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}

/** Writes a private file. After a crash it is there completely or not at all. */
export function writeDurably(path: string, text: string): void {
  const fresh = join(dirname(path), `${basename(path)}.new`);
  const file = fs.openSync(fresh, "w", 0o600);
  try {
    fs.writeFileSync(file, text);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  fs.renameSync(fresh, path);
  syncDirectory(dirname(path));
}
