/**
 * What damaged shards need of log files that are trimmed, kept in `damaged/`: their records, as a log file of the same
 * number, and damaged parts as they stood, since records of theirs may be in them. A file that is missing leaves an
 * empty part: the next repair has to know that it was there.
 *
 * Crash: what is needed is in one of the two places, or in both.
 */
import { join } from "node:path";
import { DamagedDirectory } from "../damaged-directory.ts";
import type { FileSystem } from "../../vfs/file-system.ts";
import type { Kept } from "../commit-log.ts";
import { filterWalFile } from "./filtered.ts";
import { walFileName } from "./frame.ts";

const PART = ".part";

export class SetAside {
  readonly #files: FileSystem;
  readonly #damaged: DamagedDirectory;
  #hasParts: boolean | undefined;

  /** @param root the data directory */
  constructor(root: string, files: FileSystem) {
    this.#files = files;
    this.#damaged = new DamagedDirectory(root, files);
  }

  /** Whether damaged parts of the log were set aside: nobody knows what is in them. */
  get hasParts(): boolean {
    return (this.#hasParts ??= this.#damaged.names().some((name) => name.endsWith(PART) && this.#holdsBytes(name)));
  }

  #holdsBytes(name: string): boolean {
    return this.#files.look(join(this.#damaged.path, name))?.size !== 0;
  }

  /**
   * Before a log file of `wal` is removed: copies what those shards may have in it.
   * @throws what the system says
   */
  add(wal: string, fileNo: number, kept: readonly Kept[]): void {
    const shards = new Set(
      kept.filter(({ first, last }) => first <= fileNo && fileNo <= last).map(({ shard }) => shard),
    );
    if (shards.size === 0) return;
    const path = join(wal, walFileName(fileNo));
    if (this.#files.look(path) === undefined) return this.#damaged.write(partName(fileNo, 0), Buffer.alloc(0));
    const file = this.#files.read(path);
    const { bytes, gaps } = filterWalFile(path, file, fileNo, (shard) => shards.has(shard));
    for (const { from, to } of gaps) {
      this.#damaged.write(partName(fileNo, from), file.subarray(from, to));
      this.#hasParts = true;
    }
    if (bytes !== undefined) this.#damaged.write(walFileName(fileNo), bytes);
  }
}

const partName = (fileNo: number, from: number): string => `${walFileName(fileNo).slice(0, -4)}-${from}${PART}`;
