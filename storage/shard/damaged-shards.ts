/**
 * The shards of a directory that are damaged, noted on disk: what was found once is not forgotten at the next start,
 * however little that reads.
 *
 *     DIR/damaged/shards                 the list, while there are any
 *     DIR/damaged/0000000041.wal         of a log file that was trimmed: records of damaged shards, as a log file
 *     DIR/damaged/0000000041-8192.part   a damaged part of such a file, from byte 8192 on, as it stood there
 *     DIR/damaged/0000000041-0.part      empty: the file was missing
 *
 *     parley damaged 1
 *     376 41 45 shards/376/state.db: checksum …      shard, first and last position (local log: file) that matter to it, what
 *     …
 *     end 1 5ab0c2f1                                                    how many, CRC-32 of everything before this line
 *
 * A damaged shard gets no more records, so the log files that can hold records of it are known: those that are there
 * when it is found. Before one of them is trimmed its records are copied to `damaged/`. So other shards are flushed,
 * and their log is trimmed, as if nothing was wrong. Who copies is log/local/set-aside.ts.
 *
 * Invariants: the list is on disk before a log file goes. Only `parley repair` takes a shard off the list.
 *
 * Crash: the list is there as it was or as it is. Records are in one of the two places, or in both.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { DAMAGED_DIRECTORY, DamagedDirectory } from "../log/damaged-directory.ts";
import { CorruptionError, DamagedShardError, FormatError } from "../errors.ts";
import type { LogRange } from "../log/commit-log.ts";
import type { LogPosition, ShardId } from "../types.ts";
import type { FileSystem } from "../vfs/file-system.ts";
import { readWholeFile } from "../vfs/whole-file.ts";

export const DAMAGED_LIST = "shards";
const VERSION = 1;
const HEADER = "parley damaged ";
const LINE = /^(\d{1,3}) (\d+) (\d+) (.+)$/;
/** What `.` does not match. */
const LINE_ENDS = /\s*[\n\r\u2028\u2029]\s*/g;
const END = /^end (\d+) ([0-9a-f]{8})$/;

/** The range is what the log keeps for the shard. */
export type Damage = LogRange & { shard: ShardId; what: string };

export class DamagedShards {
  readonly #root: string;
  #files: FileSystem;
  #directory: DamagedDirectory;
  readonly #byShard = new Map<ShardId, Damage>();
  #isSaved = true;

  /** @param root the data directory */
  constructor(root: string, files: FileSystem) {
    this.#root = root;
    this.#files = files;
    this.#directory = new DamagedDirectory(root, files);
  }

  /** Another store goes on with the list, and writes it by its own right, which `files` asks for. */
  handTo(files: FileSystem): void {
    this.#files = files;
    this.#directory = new DamagedDirectory(this.#root, files);
  }

  /**
   * Reads the list.
   * @throws CorruptionError when it is not what was written, FormatError when it is of a newer version
   */
  load(): void {
    if (!this.#directory.names().includes(DAMAGED_LIST)) return;
    const path = join(this.#directory.path, DAMAGED_LIST);
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

  /** `save` makes it durable. */
  add(damage: Damage): void {
    const what = damage.what.replaceAll(LINE_ENDS, " ").replaceAll(`${this.#root}/`, "");
    this.#byShard.set(damage.shard, { ...damage, what: what === "" ? "damaged" : what });
    this.#isSaved = false;
  }

  /** @throws what the system says */
  save(): void {
    if (this.#isSaved) return;
    this.#directory.write(DAMAGED_LIST, damageText(this.list()));
    this.#isSaved = true;
  }
}

/** The list of a data directory that nobody has open. @throws CorruptionError, FormatError */
export function readDamage(root: string): Damage[] {
  const path = join(root, DAMAGED_DIRECTORY, DAMAGED_LIST);
  return existsSync(path) ? parseDamage(path, readWholeFile(path)) : [];
}

function parseDamage(path: string, bytes: Buffer): Damage[] {
  const lines = bytes.toString("utf8").split("\n");
  const endAt = lines.length - 2;
  const [, count, crc] = END.exec(lines[endAt] ?? "") ?? [];
  const endBytes = Buffer.byteLength(`${lines[endAt] ?? ""}\n`);
  const isWhole = lines.at(-1) === "" && crc === hex(Bun.hash.crc32(bytes.subarray(0, bytes.length - endBytes)));
  if (!isWhole || !lines[0]!.startsWith(HEADER))
    throw new CorruptionError(path, "its last line", "the list of damaged shards fails its checksum");
  const version = Number(lines[0]!.slice(HEADER.length));
  if (version !== VERSION) throw new FormatError(path, version, VERSION);
  const damages = lines.slice(1, endAt).map((line) => damageOf(path, line));
  if (damages.length !== Number(count)) throw new CorruptionError(path, "its last line", "the list lacks lines");
  return damages;
}

function damageText(damages: readonly Damage[]): Buffer {
  const lines = damages.map(({ shard, what, first, last }) => `${shard} ${first} ${last} ${what}\n`);
  const text = `${HEADER}${VERSION}\n${lines.join("")}`;
  return Buffer.from(`${text}end ${damages.length} ${hex(Bun.hash.crc32(Buffer.from(text)))}\n`);
}

function damageOf(path: string, line: string): Damage {
  const [, shard, first, last, what] = LINE.exec(line) ?? [];
  if (shard === undefined || what === undefined) throw new CorruptionError(path, "a line of it", "it names no shard");
  return { shard: Number(shard) as ShardId, what, first: position(first), last: position(last) };
}

const position = (text: string | undefined): LogPosition => Number(text) as LogPosition;

const hex = (crc: number): string => crc.toString(16).padStart(8, "0");
