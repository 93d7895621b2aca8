/**
 * The files of a data directory as such: whether each is known, and whether its bytes are those that the last clean
 * stop left.
 */
import { join } from "node:path";
import { CorruptionError, FormatError } from "../errors.ts";
import type { ShardId } from "../types.ts";
import { walFileNo } from "../log/local/frame.ts";
import { EXTENT_NAME } from "../log/local/log-extent.ts";
import { FRESH_OPENINGS_NAME, OPENINGS_NAME } from "../log/local/openings.ts";
import { PREPARED_NAME } from "../log/local/wal-files.ts";
import { fileCrc, type FoundFile } from "./inventory.ts";
import { isManifestName, LAST_MANIFEST, MANIFEST, readManifest, type Manifest } from "./manifest.ts";
import type { Findings, VerifyReport } from "./report.ts";

const SHARD_FILE = /^shards\/(\d{3})\/(state|segment-\d{6})\.db(-wal|-shm|-journal|\.new)?$/;
/** The newest entries of all shards. */
const RECENT_FILE = /^shards\/recent\.db(-wal|-shm|-journal|\.new)?$/;
/** Beside log files. */
const LOG_NAMES = new Set([PREPARED_NAME, EXTENT_NAME, OPENINGS_NAME, FRESH_OPENINGS_NAME]);
/** Says that the shard has something to erase from its files; empty. */
const ERASING = /^shards\/erasing-(\d{3})$/;
/** What damaged shards have (storage/shard/damaged-shards.ts). */
const DAMAGED = /^damaged\/(shards|\d{10}\.wal|\d{10}-\d+\.part)(\.new)?$/;
/** A shard from elsewhere is made here before it takes its place; the next start removes it, or brings it there. */
const UNFINISHED_IMPORT = /^shards\/\d{3}\.(import|placed)\//;

export const shardOfPath = (path: string): ShardId | undefined => {
  const shard = /^shards\/(\d{3})\//.exec(path)?.[1];
  return shard === undefined ? undefined : (Number(shard) as ShardId);
};

export const isRecentFile = (path: string): boolean => RECENT_FILE.test(path);

/** What the store itself makes. The rest the caller names: what else its server keeps in the directory. */
function isStoreFile(path: string): boolean {
  if (path.startsWith("wal/")) return LOG_NAMES.has(path.slice(4)) || walFileNo(path.slice(4)) !== undefined;
  if (isRecentFile(path) || isManifestName(path)) return true;
  return SHARD_FILE.test(path) || ERASING.test(path) || UNFINISHED_IMPORT.test(path) || DAMAGED.test(path);
}

/** Files in the directory itself that belong to the server, beside those of the store. */
export type Companions = {
  /** Made once and never changed. */
  constant: readonly string[];
  changing: readonly string[];
};

export type FileCheck = {
  directory: string;
  companions: Companions;
  findings: Findings;
  report: VerifyReport;
  progress: (bytes: number) => void;
};

/** `files` are all there are of those that `isWanted` names. */
export async function verifyFiles(
  check: FileCheck,
  files: readonly FoundFile[],
  isWanted: (path: string) => boolean,
): Promise<void> {
  const { findings, report } = check;
  const manifest = tryManifest(check, MANIFEST);
  const last = tryManifest(check, LAST_MANIFEST);
  for (const file of files) {
    if (file.kind === "file") {
      report.files++;
      report.bytes += file.size;
    }
    if (isManifestName(file.path)) report.coveredFiles++;
    else if (!isKnown(file, check.companions))
      findings.add("unknown", file.path, "this name", "no file of the server's");
    else if (file.kind === "file") await verifyFile(check, file, manifest, last);
  }
  const names = new Set(files.map(({ path }) => path));
  for (const path of manifest?.keys() ?? []) {
    if (isWanted(path) && !names.has(path))
      findings.add("missing", path, "this name", "was there when the server stopped");
  }
  if (manifest === undefined && names.size > 0) {
    report.notes.push(
      "the server was not stopped cleanly, or is of a version without a manifest: bytes that no reader uses could not be checked. Start and stop it once for more.",
    );
  }
}

/** Whether a server makes a file of this name. */
export function isKnown({ path, kind }: FoundFile, companions: Companions): boolean {
  if (kind === "other") return false;
  if (kind === "directory")
    return (
      path === "wal" || path === "shards" || path === "lost+found" || path === "damaged" || /^shards\/\d{3}$/.test(path)
    );
  const names = [...companions.constant, ...companions.changing];
  return isStoreFile(path) || names.includes(path) || names.includes(path.replace(/\.(new|lock)$/, ""));
}

function tryManifest({ directory, findings, report }: FileCheck, name: string): Manifest | undefined {
  try {
    return readManifest(join(directory, name));
  } catch (error) {
    if (error instanceof FormatError) {
      findings.add("newer", name, "line 1", error.message.slice(join(directory, name).length + 2));
      return undefined;
    }
    if (!(error instanceof CorruptionError)) throw error;
    findings.add(
      "damaged",
      name,
      error.place,
      "the manifest is not what was written; what it says of other files is not believed",
    );
    report.notes.push(`without ${name}, bytes that no reader uses could not be checked`);
    return undefined;
  }
}

async function verifyFile(
  check: FileCheck,
  file: FoundFile,
  manifest: Manifest | undefined,
  last: Manifest | undefined,
): Promise<void> {
  const { findings, report } = check;
  const { path, size } = file;
  const known = manifest?.get(path);
  if (manifest !== undefined && known === undefined) return noteExtra(check, file);
  // Of a directory that was written to since, only what looks as it did then can be compared.
  const before = known ?? unchanged(file, last, check.companions.constant);
  if (before === undefined || before.crc === undefined) {
    check.progress(size);
    return;
  }
  if (size !== before.size) {
    check.progress(size);
    return findings.add(
      "changed",
      path,
      `byte ${Math.min(size, before.size)}`,
      `${size} bytes long, ${before.size} when the server stopped`,
    );
  }
  const crc = await fileCrc(join(check.directory, path), check.progress).catch((error: Error) => {
    findings.add("damaged", path, "some byte of it", `it cannot be read: ${error.message}`);
  });
  if (crc === undefined) return;
  report.coveredFiles++;
  if (crc !== before.crc) {
    const when = known === undefined ? "when it was last read" : "when the server stopped";
    findings.add("changed", path, "some byte of it", `CRC-32 ${hex(crc)}, but ${hex(before.crc)} ${when}`);
  }
}

function unchanged(file: FoundFile, last: Manifest | undefined, constant: readonly string[]) {
  const before = last?.get(file.path);
  if (before === undefined || constant.includes(file.path)) return before;
  return before.size === file.size && before.mtimeNs === file.mtimeNs ? before : undefined;
}

/** A file that came after the clean stop. What a reader or a killed command leaves holds nothing. */
function noteExtra({ findings, report, progress }: FileCheck, { path, size }: FoundFile): void {
  progress(size);
  const isEmptyWal = path.endsWith("-wal") && size === 0;
  if (isEmptyWal || /(-shm|\.new|\.lock)$/.test(path) || UNFINISHED_IMPORT.test(path)) {
    report.notes.push(`${path} is left over and holds nothing that counts`);
  } else findings.add("changed", path, "this name", "was not there when the server stopped");
}

const hex = (crc: number): string => crc.toString(16).padStart(8, "0");
