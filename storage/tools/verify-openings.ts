/**
 * Whether two servers have written to the log at the same time, as far as they have left traces
 * (storage/log/local/openings.ts): an opening that goes on after a later one has begun, or that has found the other
 * one; and a log that does not go on where the first file of an opening says that it does.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../errors.ts";
import { chainAfter, fileChain, walFileName } from "../log/local/frame.ts";
import { OPENINGS_NAME, readOpenings, type OpeningLine } from "../log/local/openings.ts";
import { readLog } from "./log-reader.ts";
import { readWholeFile } from "../vfs/whole-file.ts";
import { type Findings, unreadable, type VerifyReport } from "./report.ts";

const NAME = `wal/${OPENINGS_NAME}`;

/** @param broken numbers of log files that do not go on where the one before ends */
export function verifyOpenings(
  directory: string,
  broken: readonly number[],
  findings: Findings,
  report: VerifyReport,
): void {
  const path = join(directory, NAME);
  // The log is of an older version, or there is none.
  if (!existsSync(path)) return;
  try {
    const { lines, unreadable, changed } = readOpenings(path, readWholeFile(path));
    if (changed > 0) findings.add("damaged", NAME, "its lines", `${changed} of them are not what was written`);
    if (unreadable > 0) report.notes.push(`${NAME} has ${unreadable} lines that a crash cut short; they say nothing`);
    for (const [at, what] of overlaps(lines)) findings.add("writers", NAME, at, what);
    for (const fileNo of broken) tellBroken(directory, fileNo, lines, findings);
  } catch (error) {
    if (!(error instanceof FormatError)) findings.add("damaged", NAME, "the file", unreadable(error));
    else findings.add("newer", NAME, "line 1", error.message.slice(path.length + 2));
  }
}

/** One for each two openings, and for each file that was changed. */
function overlaps(lines: readonly OpeningLine[]): Map<string, string> {
  const found = new Map<string, string>();
  let current: OpeningLine | undefined;
  const tell = (at: string, what: string): void => void (found.has(at) || found.set(at, what));
  for (const line of lines) {
    const { kind, no, id, about } = line;
    if (kind === "changed") tell(`log file ${about}`, `somebody else changed it while opening ${no} had it`);
    else if (kind === "beside" && about !== no)
      tell(openings(no, about), `opening ${no} was at work when opening ${about} began`);
    else if (kind === "beside") tell(`opening ${no}`, "another one of this number was at work");
    else if (kind !== "begin" && current !== undefined && current.id !== id)
      tell(openings(no, current.no), `opening ${no} was at work when opening ${current.no} began`);
    else if (kind === "begin" && current !== undefined && current.id !== id && no <= current.no)
      tell(`opening ${no}`, `another one began when opening ${current.no} had begun`);
    if (kind === "begin" && !(current !== undefined && no < current.no)) current = line;
  }
  return found;
}

const openings = (one: number, other: number): string => `openings ${Math.min(one, other)} and ${Math.max(one, other)}`;

/**
 * The first file of an opening goes on behind what that opening has read. When the file has more, another process wrote
 * it afterwards. When it has less, it is damage, which the check of the log reports.
 */
function tellBroken(directory: string, fileNo: number, lines: readonly OpeningLine[], findings: Findings): void {
  const begun = lines.findIndex(({ kind, about }) => kind === "file" && about === fileNo);
  const line = lines[begun];
  if (line === undefined) return;
  const isFirst = !lines
    .slice(0, begun)
    .some(({ kind, no, id }) => kind === "file" && no === line.no && id === line.id);
  if (!isFirst || !hasMore(directory, fileNo)) return;
  const what = `it was written to after opening ${line.no} had read it and gone on in ${walFileName(fileNo)}`;
  findings.add("writers", `wal/${walFileName(fileNo - 1)}`, "its end", what);
}

/** Whether the file before has frames behind the one that this file says it goes on from. */
function hasMore(directory: string, fileNo: number): boolean {
  const chain = fileChain(readWholeFile(join(directory, "wal", walFileName(fileNo))));
  const chains: number[] = [];
  try {
    readLog(directory, {
      frame(frame) {
        if (frame.fileNo >= fileNo) return true;
        if (frame.fileNo < fileNo - 1) return false;
        if (chains.length === 0) chains.push(chainAfter(frame.buffer, 0));
        chains.push(chainAfter(frame.buffer, frame.at));
        return false;
      },
    });
  } catch (error) {
    if (!(error instanceof CorruptionError)) throw error;
  }
  return chains.slice(0, -1).includes(chain);
}
