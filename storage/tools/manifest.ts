/**
 * The manifest of a data directory at rest: what every file was when the server had stopped, so that afterwards every
 * byte can be checked, those that no format covers among them (room that SQLite leaves free, keys, the lock file).
 *
 *     DIR/manifest        there only while nobody writes to the directory; first thing taken away at a start, last thing written by a clean stop
 *     DIR/manifest.last   the one before, while the directory is in use and after a crash
 *
 *     parley manifest 1
 *     5ab0c2f1 8192 1763724691000000000 shards/007/state.db      CRC-32 or "-" if not read, bytes, time of the last change in ns, path
 *     …
 *     end 5 3f2a9c01                                             number of files, CRC-32 of everything before this line
 *
 * Not a list of what belongs to the store: `verify` knows that. Not a protection against forgery.
 *
 * Files that look as they did in the last manifest (size, time) are not read again: their checksum is carried over. So
 * a stop costs the files that were written since, and damage that came meanwhile is not taken for the truth.
 *
 * Crash: a manifest is there whole or not at all, and never beside a directory that was written to since: it goes,
 * durably, before anything is opened. What can remain is `manifest.new`, which means nothing.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { CorruptionError, FormatError } from "../errors.ts";
import { readWholeFile } from "../vfs/whole-file.ts";
import { fileCrc, listFiles, type FoundFile } from "./inventory.ts";

export const MANIFEST = "manifest";
export const LAST_MANIFEST = "manifest.last";
const FRESH_MANIFEST = "manifest.new";
/** They say nothing about themselves. */
const OWN_NAMES = new Set([MANIFEST, LAST_MANIFEST, FRESH_MANIFEST]);
export const isManifestName = (path: string): boolean => OWN_NAMES.has(path);

const VERSION = 1;
const TRIES_MAX = 3;
const HEADER = "parley manifest ";
const LINE = /^([0-9a-f]{8}|-) (\d+) (\d+) (.+)$/;
const END = /^end (\d+) ([0-9a-f]{8})$/;

/** `crc` is undefined for a file that the stop had no time to read. */
export type ManifestEntry = { path: string; size: number; mtimeNs: bigint; crc: number | undefined };
export type Manifest = Map<string, ManifestEntry>;

/** Takes the manifest away, durably. Before anything in the directory is written or opened to be written. */
export function retireManifest(directory: string): void {
  const path = join(directory, MANIFEST);
  if (!fs.existsSync(path)) return;
  fs.renameSync(path, join(directory, LAST_MANIFEST));
  syncDirectory(directory);
}

/**
 * Writes the manifest. The caller holds the directory and has closed every file in it. Files whose turn has not come
 * when `stopped` says so are listed without a checksum, the largest last. What another program replaced meanwhile (API
 * keys) is read again.
 * @returns files and how many of them have a checksum
 */
export async function writeManifest(
  directory: string,
  stopped: () => boolean,
): Promise<{ files: number; covered: number }> {
  const last = tryRead(join(directory, LAST_MANIFEST));
  const known: Manifest = new Map([...(last ?? []), ...(tryRead(join(directory, MANIFEST)) ?? [])]);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const files = plainFiles(directory);
    const manifest = await describe(directory, files, known, stopped);
    putManifest(directory, manifest);
    if (isSame(files, plainFiles(directory))) {
      fs.rmSync(join(directory, LAST_MANIFEST), { force: true });
      return { files: manifest.size, covered: [...manifest.values()].filter(({ crc }) => crc !== undefined).length };
    }
    for (const [path, entry] of manifest) known.set(path, entry);
  }
  retireManifest(directory);
  throw new Error(`${directory} is still being written to: no manifest`);
}

/**
 * While the directory is in use: keeps the checksums of files that never change, so that they can be checked after a
 * crash, too. Writes only when one is not known yet: at the first start.
 */
export async function noteConstants(directory: string, paths: readonly string[]): Promise<void> {
  const last = tryRead(join(directory, LAST_MANIFEST)) ?? new Map<string, ManifestEntry>();
  const isKnown = (path: string): boolean => last.get(path)?.crc !== undefined;
  if (paths.every(isKnown)) return;
  for (const file of plainFiles(directory)) {
    if (paths.includes(file.path) && !isKnown(file.path)) last.set(file.path, await describeFile(directory, file));
  }
  putManifest(directory, last, LAST_MANIFEST);
}

/**
 * For a program that replaces one file of a directory that no server has: what the manifest says of it is brought up to
 * date. The caller holds the directory. Without a manifest nothing is to be done.
 */
export async function amendManifest(directory: string, path: string): Promise<void> {
  const manifest = tryRead(join(directory, MANIFEST));
  if (manifest === undefined) return;
  const file = plainFiles(directory).find((found) => found.path === path);
  manifest.delete(path);
  if (file !== undefined) manifest.set(path, await describeFile(directory, file));
  putManifest(directory, manifest);
}

/**
 * @returns undefined when there is none
 * @throws CorruptionError when it is not what was written, FormatError when it is of a newer version
 */
export function readManifest(file: string): Manifest | undefined {
  const bytes = readIfThere(file);
  if (bytes === undefined) return undefined;
  const lines = bytes.toString("utf8").split("\n");
  if (!lines[0]!.startsWith(HEADER)) throw new CorruptionError(file, "line 1", "not a manifest");
  const endAt = lines.length - 2;
  const [, count, crc] = END.exec(lines[endAt] ?? "") ?? [];
  const endBytes = Buffer.byteLength(`${lines[endAt] ?? ""}\n`);
  const isWhole = lines.at(-1) === "" && crc === hex(Bun.hash.crc32(bytes.subarray(0, bytes.length - endBytes)));
  if (!isWhole) throw new CorruptionError(file, "its last line", "the manifest fails its checksum");
  const version = Number(lines[0]!.slice(HEADER.length));
  if (version !== VERSION) throw new FormatError(file, version, VERSION);
  const manifest: Manifest = new Map();
  for (const line of lines.slice(1, endAt)) {
    const entry = readLine(file, line);
    manifest.set(entry.path, entry);
  }
  if (manifest.size !== Number(count)) throw new CorruptionError(file, "its last line", "the manifest lacks lines");
  return manifest;
}

function readLine(file: string, line: string): ManifestEntry {
  const [, crc, size, mtimeNs, path] = LINE.exec(line) ?? [];
  if (crc === undefined || size === undefined || mtimeNs === undefined || path === undefined)
    throw new CorruptionError(file, "a line of it", `${JSON.stringify(line.slice(0, 80))} names no file`);
  return {
    path,
    size: Number(size),
    mtimeNs: BigInt(mtimeNs),
    crc: crc === "-" ? undefined : Number.parseInt(crc, 16),
  };
}

/** What is not to be believed is not carried over, and nothing more. */
function tryRead(file: string): Manifest | undefined {
  try {
    return readManifest(file);
  } catch {
    return undefined;
  }
}

/** A name with a line break in it has no line; `verify` calls it unknown anyhow. */
const plainFiles = (directory: string): FoundFile[] =>
  listFiles(directory).filter(({ path, kind }) => kind === "file" && !isManifestName(path) && !path.includes("\n"));

async function describe(
  directory: string,
  files: FoundFile[],
  known: Manifest,
  stopped: () => boolean,
): Promise<Manifest> {
  const crcs = new Map<string, number | undefined>();
  for (const file of files.toSorted((a, b) => a.size - b.size)) {
    const before = known.get(file.path);
    const isUnchanged = before !== undefined && before.size === file.size && before.mtimeNs === file.mtimeNs;
    if (isUnchanged && before.crc !== undefined) crcs.set(file.path, before.crc);
    else crcs.set(file.path, stopped() ? undefined : (await describeFile(directory, file)).crc);
  }
  return new Map(files.map(({ path, size, mtimeNs }) => [path, { path, size, mtimeNs, crc: crcs.get(path) }]));
}

async function describeFile(directory: string, { path, size, mtimeNs }: FoundFile): Promise<ManifestEntry> {
  return { path, size, mtimeNs, crc: await fileCrc(join(directory, path)).catch(() => undefined) };
}

function isSame(before: FoundFile[], after: FoundFile[]): boolean {
  const looks = ({ path, size, mtimeNs }: FoundFile): string => `${path} ${size} ${mtimeNs}`;
  const known = new Set(before.map(looks));
  return after.length === before.length && after.every((file) => known.has(looks(file)));
}

function putManifest(directory: string, manifest: Manifest, name = MANIFEST): void {
  const lines = [...manifest.values()].map(
    ({ path, size, mtimeNs, crc }) => `${crc === undefined ? "-" : hex(crc)} ${size} ${mtimeNs} ${path}\n`,
  );
  const text = `${HEADER}${VERSION}\n${lines.join("")}`;
  const end = `end ${manifest.size} ${hex(Bun.hash.crc32(Buffer.from(text)))}\n`;
  const fresh = join(directory, FRESH_MANIFEST);
  fs.rmSync(fresh, { force: true });
  const file = fs.openSync(fresh, "wx", 0o600);
  try {
    fs.writeFileSync(file, text + end);
    fs.fsyncSync(file);
  } finally {
    fs.closeSync(file);
  }
  fs.renameSync(fresh, join(directory, name));
  syncDirectory(directory);
}

const hex = (crc: number): string => crc.toString(16).padStart(8, "0");

function readIfThere(file: string): Buffer | undefined {
  try {
    return readWholeFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function syncDirectory(path: string): void {
  const directory = fs.openSync(path, "r");
  try {
    fs.fsyncSync(directory);
  } finally {
    fs.closeSync(directory);
  }
}
