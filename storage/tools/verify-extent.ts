/**
 * Whether the log says from which file to which one it reaches (storage/log/local/log-extent.ts). What it says is
 * checked with the log itself.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../errors.ts";
import { EXTENT_NAME, readExtent } from "../log/local/log-extent.ts";
import { realFileSystem } from "../vfs/file-system.ts";
import { type Findings, unreadable, type VerifyReport } from "./report.ts";

const NAME = `wal/${EXTENT_NAME}`;
const UNKNOWN = "that the oldest or the newest log file is gone could not be noticed";

export function verifyExtent(directory: string, findings: Findings, report: VerifyReport): void {
  const wal = join(directory, "wal");
  // The log is of an older version, or there is none.
  if (!existsSync(join(wal, EXTENT_NAME))) return;
  try {
    const { extent, isDamaged } = readExtent(wal, realFileSystem);
    if (isDamaged) findings.add("damaged", NAME, "its line", `it is not what was written; ${UNKNOWN}`);
    else if (extent === undefined) report.notes.push(`${NAME} says nothing of the log as it is now; ${UNKNOWN}`);
  } catch (error) {
    if (!(error instanceof FormatError)) findings.add("damaged", NAME, "the file", unreadable(error));
    else if (error.message.includes(EXTENT_NAME)) findings.add("newer", NAME, "line 1", error.message);
  }
}
