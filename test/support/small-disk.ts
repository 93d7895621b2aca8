/**
 * A disk of its own for a test, that can be filled up: a tmpfs, or what `PARLEY_TEST_DISK` says: `ext4` in a file, `none`. Mounting takes privileges; where there are none,
 * `smallDisk` says so with undefined, and the same promises are tested on a file system that only says it is full.
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type SmallDisk = {
  path: string;
  /** Takes all that is left. */
  fill: () => void;
  /** Gives it back. */
  release: () => void;
  remove: () => void;
};

export function smallDisk(mib: number): SmallDisk | undefined {
  const directory = mkdtempSync(join(tmpdir(), "small-disk-"));
  const path = join(directory, "mounted");
  const run = (...words: string[]): boolean => Bun.which(words[0]!) !== null && Bun.spawnSync(words).success;
  run("mkdir", path);
  if (!mount(directory, path, mib, run)) {
    rmSync(directory, { recursive: true });
    return undefined;
  }
  const ballast = join(path, "ballast");
  return {
    path,
    fill: () => fill(ballast),
    release: () => rmSync(ballast, { force: true }),
    remove() {
      if (run("umount", path)) rmSync(directory, { recursive: true });
    },
  };
}

function mount(directory: string, path: string, mib: number, run: (...words: string[]) => boolean): boolean {
  const kind = process.env["PARLEY_TEST_DISK"];
  if (kind === "none") return false;
  if (kind !== "ext4") return run("mount", "-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", path);
  const image = join(directory, "image");
  return (
    run("truncate", "-s", `${mib}M`, image) &&
    run("mkfs.ext4", "-q", "-b", "4096", image) &&
    run("mount", "-o", "loop", image, path)
  );
}

function fill(path: string): void {
  const file = openSync(path, "a");
  try {
    for (let bytes = 1 << 20; bytes > 0;) {
      try {
        writeSync(file, Buffer.alloc(bytes));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        bytes >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}
