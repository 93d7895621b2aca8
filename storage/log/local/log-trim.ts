/**
 * Removes log files that nobody needs any more.
 *
 * Invariant: oldest first, and each durably gone before the next, since a crash must not leave a gap. What cannot be
 * removed now is tried again at the next trim. What damaged shards need of a file is set aside before, and nobody
 * counts on the file any more (log-extent.ts).
 */
import { join } from "node:path";
import type { FileSystem } from "../../vfs/file-system.ts";
import type { Kept } from "../commit-log.ts";
import { walFileName } from "./frame.ts";
import type { LogExtent } from "./log-extent.ts";
import type { Ownership } from "./ownership.ts";
import { SetAside } from "./set-aside.ts";

export type LogTrimPorts = {
  /** The data directory, and `wal` in it. */
  root: string;
  directory: string;
  files: FileSystem;
  ownership: Ownership;
  extent: LogExtent;
  /** As in `LogHooks`. */
  kept: () => readonly Kept[];
  onFailure: (error: unknown) => void;
};

export class LogTrim {
  readonly #ports: LogTrimPorts;
  readonly #aside: SetAside;
  #oldestFileNo = 1;
  /** As of the last trim. */
  #neededFrom = 0;
  /** What damaged shards need of the files through this one is set aside. */
  #setAsideThrough = 0;

  constructor(ports: LogTrimPorts) {
    this.#ports = ports;
    this.#aside = new SetAside(ports.root, ports.files);
  }

  /** @param oldestFileNo that the log reaches back to, be it missing */
  begin(oldestFileNo: number): void {
    this.#oldestFileNo = oldestFileNo;
  }

  get oldestFileNo(): number {
    return this.#oldestFileNo;
  }

  /**
   * The first file that a shard needed at the last trim. Files before it can be there, where they could not be removed.
   */
  get neededFrom(): number {
    return Math.max(this.#oldestFileNo, this.#neededFrom);
  }

  get hasDamagedParts(): boolean {
    return this.#aside.hasParts;
  }

  below(fileNo: number): void {
    this.#neededFrom = fileNo;
    if (this.#oldestFileNo >= fileNo || !this.#isOwned) return;
    this.#ports.ownership.trimmedBelow(fileNo);
    while (this.#oldestFileNo < fileNo) {
      if (!this.#letGo(this.#oldestFileNo)) return;
      this.#oldestFileNo++;
    }
  }

  get #isOwned(): boolean {
    try {
      this.#ports.ownership.check();
      return true;
    } catch {
      return false;
    }
  }

  #letGo(fileNo: number): boolean {
    const { directory, extent, kept } = this.#ports;
    try {
      if (this.#setAsideThrough < fileNo) this.#aside.add(directory, fileNo, kept());
      this.#setAsideThrough = fileNo;
      extent.beginsBehind(fileNo);
    } catch (error) {
      return this.#notRemoved(error);
    }
    return this.tryRemove(join(directory, walFileName(fileNo)));
  }

  /** @returns whether it is durably gone; if not, that was reported */
  tryRemove(path: string): boolean {
    const { files, directory } = this.#ports;
    try {
      files.remove(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") return this.#notRemoved(error);
    }
    try {
      files.syncDirectory(directory);
      return true;
    } catch (error) {
      return this.#notRemoved(error);
    }
  }

  #notRemoved(error: unknown): false {
    this.#ports.onFailure(error);
    return false;
  }
}
