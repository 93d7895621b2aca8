/**
 * The folder `damaged/` of a data directory: made when there is something for it, its files there whole or not at all.
 */
import { join } from "node:path";
import type { FileSystem } from "../vfs/file-system.ts";

export const DAMAGED_DIRECTORY = "damaged";

export class DamagedDirectory {
  readonly path: string;
  readonly #root: string;
  readonly #files: FileSystem;
  #isMade = false;

  /** @param root the data directory */
  constructor(root: string, files: FileSystem) {
    this.#root = root;
    this.#files = files;
    this.path = join(root, DAMAGED_DIRECTORY);
  }

  /** What is in it; nothing where it is not there. */
  names(): string[] {
    this.#isMade ||= this.#files.list(this.#root).includes(DAMAGED_DIRECTORY);
    return this.#isMade ? this.#files.list(this.path) : [];
  }

  /** In the place of one of that name, durably. @throws what the system says */
  write(name: string, bytes: Buffer): void {
    const fresh = join(this.path, `${name}.new`);
    if (this.names().includes(`${name}.new`)) this.#files.remove(fresh);
    else this.#make();
    const file = this.#files.openDurable(fresh, true);
    try {
      this.#files.writeNow(file, bytes, 0);
    } finally {
      this.#files.close(file);
    }
    this.#files.rename(fresh, join(this.path, name));
    this.#files.syncDirectory(this.path);
  }

  #make(): void {
    if (this.#isMade) return;
    this.#files.makeDirectory(this.path);
    this.#files.syncDirectory(this.#root);
    this.#isMade = true;
  }
}
