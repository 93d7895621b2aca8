/**
 * The shards of a directory that are damaged, noted on disk: what was found once is not forgotten at the next start,
 * however little that reads.
 *
 *     DIR/damaged/shards                 the list, while there are any
 *     DIR/damaged/0000000041.wal         of a log file that was trimmed: records of damaged shards, as a log file
 *     DIR/damaged/0000000041-8192.part   a damaged part of such a file, from byte 8192 on, as it stood there
 *
 *     parley damaged 1
 *     376 41 45 shards/376/state.db: checksum …      shard, first and last log file that matter to it, what
 *     …
 *     end 1 5ab0c2f1                                                    how many, CRC-32 of everything before this line
 *
 * A damaged shard gets no more records, so the log files that can hold records of it are known: those that are there
 * when it is found. Before one of them is trimmed its records are copied to `damaged/`. So other shards are flushed,
 * and their log is trimmed, as if nothing was wrong.
 *
 * Invariants: the list is on disk before a log file goes. Only `parley repair` takes a shard off the list.
 *
 * Crash: the list is there as it was or as it is. Records are in one of the two places, or in both.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CorruptionError, DamagedShardError, FormatError } from "./errors.ts";
import type { ShardId } from "./types.ts";
import type { FileSystem } from "./vfs/file-system.ts";
import { filterWalFile } from "./log/local/filtered.ts";
import { walFileName } from "./log/local/frame.ts";

export const DAMAGED_DIRECTORY = "damaged";
export const DAMAGED_LIST = "shards";
const PART = ".part";
const VERSION = 1;
const HEAD = "parley damaged ";
const LINE = /^(\d{1,3}) (\d+) (\d+) (.+)$/;
/** What `.` does not match. */
const LINE_ENDS = /\s*[\n\r\u2028\u2029]\s*/g;
const END = /^end (\d+) ([0-9a-f]{8})$/;

/** `firstFileNo` to `lastFileNo`: log files that are kept for the shard, both 0 for none. */
export type Damage = { shard: ShardId; what: string; firstFileNo: number; lastFileNo: number };

export class DamagedShards {
  readonly #root: string;
  #files: FileSystem;
  readonly #byShard = new Map<ShardId, Damage>();
  #isSaved = true;
  #hasDirectory = false;
  #hasParts = false;

  /** @param root the data directory */
  constructor(root: string, files: FileSystem) {
    this.#root = root;
    this.#files = files;
  }

  /** Another store goes on with the list, and writes it by its own right. */
  handTo(files: FileSystem): void {
    this.#files = files;
  }

  /**
   * Reads the list.
   * @throws CorruptionError when it is not what was written, FormatError when it is of a newer version
   */
  load(): void {
    if (!this.#names("").includes(DAMAGED_DIRECTORY)) return;
    this.#hasDirectory = true;
    const names = this.#names(DAMAGED_DIRECTORY);
    this.#hasParts = names.some((name) => name.endsWith(PART));
    if (!names.includes(DAMAGED_LIST)) return;
    const path = join(this.#path, DAMAGED_LIST);
    for (const damage of parseDamage(path, this.#files.read(path))) this.#byShard.set(damage.shard, damage);
  }

  get size(): number {
    return this.#byShard.size;
  }

  has(shard: ShardId): boolean {
    return this.#byShard.size > 0 && this.#byShard.has(shard);
  }

  list(): Damage[] {
    return [...this.#byShard.values()].toSorted((a, b) => a.shard - b.shard);
  }

  /** What a caller of a damaged shard is thrown. */
  error(shard: ShardId): DamagedShardError {
    return new DamagedShardError(shard, this.#byShard.get(shard)?.what ?? "it is closed");
  }

  /** Whether damaged parts of the log were taken aside: nobody knows what is in them. */
  get hasParts(): boolean {
    return this.#hasParts;
  }

  /** `save` makes it durable. */
  add(damage: Damage): void {
    const what = damage.what.replaceAll(LINE_ENDS, " ").replaceAll(`${this.#root}/`, "");
    this.#byShard.set(damage.shard, { ...damage, what: what === "" ? "damaged" : what });
    this.#isSaved = false;
  }

  /** @throws what the system says */
  save(): void {
    if (this.#isSaved) return;
    this.#write(DAMAGED_LIST, damageText(this.list()));
    this.#isSaved = true;
  }

  /**
   * Before a log file of `wal` is removed: copies what damaged shards may have in it.
   * @throws what the system says
   */
  takeAside(wal: string, fileNo: number): void {
    if (this.#byShard.size === 0) return;
    this.save();
    const damages = this.list().filter(({ firstFileNo, lastFileNo }) => firstFileNo <= fileNo && fileNo <= lastFileNo);
    if (damages.length === 0) return;
    const shards = new Set(damages.map(({ shard }) => shard));
    const path = join(wal, walFileName(fileNo));
    const file = this.#files.read(path);
    const { bytes, gaps } = filterWalFile(path, file, fileNo, (shard) => shards.has(shard));
    for (const { from, to } of gaps) {
      this.#write(`${walFileName(fileNo).slice(0, -4)}-${from}${PART}`, file.subarray(from, to));
      this.#hasParts = true;
    }
    if (bytes !== undefined) this.#write(walFileName(fileNo), bytes);
  }

  get #path(): string {
    return join(this.#root, DAMAGED_DIRECTORY);
  }

  #names(below: string): string[] {
    return this.#files.list(join(this.#root, below));
  }

  /** There whole or not at all, in the place of one of that name. */
  #write(name: string, bytes: Buffer): void {
    this.#makeDirectory();
    const fresh = join(this.#path, `${name}.new`);
    if (this.#names(DAMAGED_DIRECTORY).includes(`${name}.new`)) this.#files.remove(fresh);
    const file = this.#files.openDurable(fresh, true);
    try {
      this.#files.writeNow(file, bytes, 0);
    } finally {
      this.#files.close(file);
    }
    this.#files.rename(fresh, join(this.#path, name));
    this.#files.syncDirectory(this.#path);
  }

  #makeDirectory(): void {
    if (this.#hasDirectory) return;
    this.#files.makeDirectory(this.#path);
    this.#files.syncDirectory(this.#root);
    this.#hasDirectory = true;
  }
}

/** The list of a data directory that nobody has open. @throws CorruptionError, FormatError */
export function readDamage(root: string): Damage[] {
  const path = join(root, DAMAGED_DIRECTORY, DAMAGED_LIST);
  return existsSync(path) ? parseDamage(path, readFileSync(path)) : [];
}

function parseDamage(path: string, bytes: Buffer): Damage[] {
  const lines = bytes.toString("utf8").split("\n");
  const endAt = lines.length - 2;
  const [, count, crc] = END.exec(lines[endAt] ?? "") ?? [];
  const endBytes = Buffer.byteLength(`${lines[endAt] ?? ""}\n`);
  const isWhole = lines.at(-1) === "" && crc === hex(Bun.hash.crc32(bytes.subarray(0, bytes.length - endBytes)));
  if (!isWhole || !lines[0]!.startsWith(HEAD))
    throw new CorruptionError(path, "its last line", "the list of damaged shards fails its checksum");
  const version = Number(lines[0]!.slice(HEAD.length));
  if (version !== VERSION) throw new FormatError(path, version, VERSION);
  const damages = lines.slice(1, endAt).map((line) => damageOf(path, line));
  if (damages.length !== Number(count)) throw new CorruptionError(path, "its last line", "the list lacks lines");
  return damages;
}

function damageText(damages: readonly Damage[]): Buffer {
  const lines = damages.map(
    ({ shard, what, firstFileNo, lastFileNo }) => `${shard} ${firstFileNo} ${lastFileNo} ${what}\n`,
  );
  const text = `${HEAD}${VERSION}\n${lines.join("")}`;
  return Buffer.from(`${text}end ${damages.length} ${hex(Bun.hash.crc32(Buffer.from(text)))}\n`);
}

function damageOf(path: string, line: string): Damage {
  const [, shard, first, last, what] = LINE.exec(line) ?? [];
  if (shard === undefined || what === undefined) throw new CorruptionError(path, "a line of it", "it names no shard");
  return { shard: Number(shard) as ShardId, what, firstFileNo: Number(first), lastFileNo: Number(last) };
}

const hex = (crc: number): string => crc.toString(16).padStart(8, "0");
