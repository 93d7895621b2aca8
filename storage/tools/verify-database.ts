/**
 * One SQLite file as such: it can be read, is sound in SQLite's own eyes, of a known format, and has the tables of that
 * format.
 *
 * Read as bytes (database-image.ts); nothing is opened for writing.
 */
import { existsSync, statSync } from "node:fs";
import { CorruptionError, FormatError } from "../errors.ts";
import type { FileFormat } from "../files/sqlite/database-file.ts";
import type { SqlDatabase } from "../files/sqlite/database.ts";
import { integrityFaults, openImage } from "./database-image.ts";
import type { Findings } from "./report.ts";
import { verifySchema, type Fault } from "./verify-rows.ts";

export type DatabaseCheck = {
  findings: Findings;
  /** Bytes of files that were looked at. */
  progress: (bytes: number) => void;
};

/** `path` on this machine; `file` as findings name it. */
export type DatabaseFile = { path: string; file: string; format: FileFormat; schema: (db: SqlDatabase) => string };

/** An open image of the file; `fault` adds a finding about it. */
export type CheckedDatabase = { db: SqlDatabase; fault: Fault };

/** What `look` throws of damage is a finding. */
export function withDatabase<T>(
  check: DatabaseCheck,
  target: DatabaseFile,
  look: (db: SqlDatabase, fault: Fault) => T,
): T | undefined {
  const opened = openDatabase(check, target);
  if (opened === undefined) return undefined;
  const { db, fault } = opened;
  try {
    return look(db, fault);
  } catch (error) {
    tell(check, target, error);
    return undefined;
  } finally {
    db.close();
  }
}

/** The caller closes it. Undefined when the file cannot be read any further; that is a finding. */
export function openDatabase(check: DatabaseCheck, target: DatabaseFile): CheckedDatabase | undefined {
  const { path, file, format } = target;
  if (!existsSync(path)) {
    check.findings.add("missing", file, "this name", `the ${format.name} is missing`);
    return undefined;
  }
  let db: SqlDatabase | undefined;
  try {
    const image = openImage(path);
    db = image.db;
    for (const { place: where, what } of image.faults) check.findings.add("damaged", `${file}-wal`, where, what);
    const fault: Fault = (where, what) => check.findings.add("damaged", file, where, what);
    if (isSound(check.findings, () => verifyAsDatabase(image.db, target, fault))) return { db, fault };
  } catch (error) {
    tell(check, target, error);
  } finally {
    check.progress(statSync(path).size);
  }
  db?.close();
  return undefined;
}

function verifyAsDatabase(db: SqlDatabase, { format, schema }: DatabaseFile, fault: Fault): void {
  checkFormat(db, format);
  for (const line of integrityFaults(db)) fault("SQLite's own check", line.replaceAll("\n", " "));
  verifySchema(db, schema(db), fault);
}

function tell({ findings }: DatabaseCheck, { path, file }: DatabaseFile, error: unknown): void {
  const what = messageOf(error, path);
  if (error instanceof FormatError) findings.add("newer", file, "its header", what);
  else findings.add("damaged", file, error instanceof CorruptionError ? error.place : "all of it", what);
}

/** Whether `look` found nothing wrong. */
export function isSound(findings: Findings, look: () => void): boolean {
  const before = findings.count;
  look();
  return findings.count === before;
}

/** What the error says, without the file that is named beside it. */
export function messageOf(error: unknown, path: string): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(`${path}: `, "");
}

function checkFormat(db: SqlDatabase, format: FileFormat): void {
  const id = db.pragma("application_id");
  if (id !== format.applicationId)
    throw new CorruptionError(db.file, "its header", `application id ${String(id)}, not that of a ${format.name}`);
  const version = db.pragma("user_version") as number;
  if (version > format.version) throw new FormatError(db.file, version, format.version);
}
