/**
 * From which log file to which one the log reaches: the file `wal/extent`. Without it nothing would show that the
 * oldest or the newest file is gone, since no file beside it says so.
 *
 *     parley extent 1 0000000008 5ab0c2f1e0d3a7b2 0000000017 0000000021 1f2e3d4c
 *                   │ │          │                │          │          CRC-32 of the line up to here
 *                   │ │          │                │          the newest file that was begun, 0: not said
 *                   │ │          │                the oldest file that was not given up for removal
 *                   │ number and id of the opening that says so (openings.ts)
 *                   version
 *
 * Invariant: what it says is true at every moment. Before a log file is removed the line is durable that does not count
 * on it; where that line cannot be written (a full disk) the file `extent` is removed, durably, and nothing is said. A
 * file is counted on once its header is durable.
 *
 * A build that does not know this file removes log files without saying so here. Such a build may be the last one that
 * opened the log: the list of openings names it, and then what stands here does not count. Neither does a line that is
 * not whole. A log without this file is of an older version.
 *
 * Crash: the line is written in its place, as part of one sector. It is there as it was, as it is, or not whole.
 */
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import type { FileHandle, FileSystem } from "../../vfs/file-system.ts";
import { OPENINGS_NAME, readOpenings } from "./openings.ts";

export const EXTENT_NAME = "extent";

const VERSION = 1;
const ANY_VERSION = /^(parley extent (\d+) .*) ([0-9a-f]{8})\n$/;
const LINE = /^parley extent 1 (\d{10}) ([0-9a-f]{16}) (\d{10}) (\d{10})$/;

/** Numbers of log files. `last` 0: not said. */
export type Extent = { first: number; last: number };
export type FoundExtent = {
  /** Undefined where nothing is known. */
  extent: Extent | undefined;
  /**
   * The file is there, and its bytes are not what was written. A crash while it is made leaves it empty, which is no
   * damage.
   */
  isDamaged: boolean;
};
type Opening = { no: number; id: string };

/**
 * @param directory `wal` of the data directory
 * @throws FormatError for a newer version; what the system says
 */
export function readExtent(directory: string, files: FileSystem): FoundExtent {
  const path = join(directory, EXTENT_NAME);
  if (files.look(path) === undefined) return { extent: undefined, isDamaged: false };
  const bytes = files.read(path);
  const line = parse(path, bytes);
  if (line === undefined) return { extent: undefined, isDamaged: bytes.some((byte) => byte !== 0) };
  const { extent, opening } = line;
  return { extent: isNewest(directory, files, opening) ? extent : undefined, isDamaged: false };
}

function parse(path: string, bytes: Buffer): { extent: Extent; opening: Opening } | undefined {
  const [, text, version, crc] = ANY_VERSION.exec(bytes.toString("latin1")) ?? [];
  if (text === undefined || crc !== crcOf(text)) return undefined;
  if (Number(version) > VERSION) throw new FormatError(path, Number(version), VERSION);
  const [, no, id, first, last] = LINE.exec(text) ?? [];
  if (id === undefined) return undefined;
  return { extent: { first: Number(first), last: Number(last) }, opening: { no: Number(no), id } };
}

/** Whether nobody else has opened the log since. */
function isNewest(directory: string, files: FileSystem, { no, id }: Opening): boolean {
  const path = join(directory, OPENINGS_NAME);
  if (files.look(path) === undefined) return true;
  const openings = openingsOf(path, files);
  return (
    openings !== undefined && !openings.lines.some((line) => line.kind === "begin" && line.id !== id && line.no >= no)
  );
}

/** A newer list cannot be read here. Opening the log reports that. */
function openingsOf(path: string, files: FileSystem): ReturnType<typeof readOpenings> | undefined {
  try {
    return readOpenings(path, files.read(path));
  } catch (error) {
    if (error instanceof FormatError) return undefined;
    throw error;
  }
}

export class LogExtent {
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #path: string;
  #extent: Extent = { first: 1, last: 0 };
  /** Undefined while this one may not say anything. */
  #opening: Opening | undefined;

  /** @param directory `wal` of the data directory */
  constructor(directory: string, files: FileSystem) {
    this.#directory = directory;
    this.#files = files;
    this.#path = join(directory, EXTENT_NAME);
  }

  /**
   * From now on this opening says it; what was found holds on.
   * @param oldestFileNo of the files that are there, for a log of which nothing is known
   */
  begin(opening: Opening, { extent, isDamaged }: FoundExtent, oldestFileNo: number): void {
    this.#extent = { ...(extent ?? { first: oldestFileNo, last: 0 }) };
    this.#opening = opening;
    try {
      // It may have another length.
      if (isDamaged) this.#drop();
      this.#say();
    } catch {
      // What stands there is true, or of an opening that is not the newest.
      return;
    }
  }

  /** The header of the log's newest file is durable. */
  begun(fileNo: number): void {
    this.#extent.last = fileNo;
    try {
      this.#say();
    } catch {
      // What stands there says less, and is true.
      return;
    }
  }

  /** The oldest file is to be removed: when this returns, nobody counts on it. @throws what the system says */
  beginsBehind(fileNo: number): void {
    const { first } = this.#extent;
    if (first > fileNo) return;
    this.#extent.first = fileNo + 1;
    try {
      this.#say();
    } catch (error) {
      // What stands there may still count on the file: the next try has to say it first.
      this.#extent.first = first;
      throw error;
    }
  }

  /**
   * The newest file holds nothing and is to be removed: when this returns, nobody counts on it.
   * @throws what the system says
   */
  endsBefore(fileNo: number): void {
    this.#extent.last = fileNo - 1;
    this.#say();
  }

  #say(): void {
    if (this.#opening === undefined) return this.#drop();
    try {
      this.#write(Buffer.from(lineOf(this.#opening, this.#extent)));
    } catch {
      this.#drop();
    }
  }

  #write(line: Buffer): void {
    const file = this.#open();
    try {
      this.#files.writeNow(file, line, 0);
    } finally {
      this.#files.close(file);
    }
  }

  #open(): FileHandle {
    try {
      return this.#files.openDurable(this.#path, false);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      return this.#files.openDurable(this.#path, true);
    }
  }

  #drop(): void {
    try {
      this.#files.remove(this.#path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    this.#files.syncDirectory(this.#directory);
  }
}

function lineOf({ no, id }: Opening, { first, last }: Extent): string {
  const text = `parley extent ${VERSION} ${ten(no)} ${id} ${ten(first)} ${ten(last)}`;
  return `${text} ${crcOf(text)}\n`;
}

const ten = (number: number): string => String(number).padStart(10, "0");

const crcOf = (text: string): string => Bun.hash.crc32(Buffer.from(text)).toString(16).padStart(8, "0");
