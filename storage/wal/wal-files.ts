/**
 * The files of one node's write-ahead log: appends frames, rotates by size, prepares the next file ahead, trims from the front.
 *
 * Not here: what is in a frame, and when to write one (group-commit.ts).
 *
 * Invariants
 * - One write is under way at a time, so a crash tears at most the last frame of the last file.
 * - A file gets its final name, durably, before the first frame is written to it.
 * - A prepared file (`*.wal.next`) is nothing to recovery: it is removed.
 * - After a failed write nothing is written ever again (`failed`): what is on disk is known only by reading it.
 */
import { join } from "node:path";
import { LogFailedError } from "../errors.ts";
import type { FileHandle, FileSystem } from "../vfs/file-system.ts";
import { FILE_HEAD_BYTES, fileHead, sealFrame, walFileName } from "./frame.ts";

type PreparedState = "none" | "filling" | "ready";

export type WalFilesOptions = {
  directory: string;
  files: FileSystem;
  /** Size at which a file is left for the next, bytes. */
  fileBytesMax: number;
};

export class WalFiles {
  readonly #options: WalFilesOptions;
  #file: FileHandle | undefined;
  #fileNo = 0;
  #position = FILE_HEAD_BYTES;
  #prepared: PreparedState = "none";
  #closed = false;
  #failed: LogFailedError | undefined;

  constructor(options: WalFilesOptions) {
    this.#options = options;
  }

  /** Begins the log's next file. After recovery only: until then the torn file must stay the last. */
  open(fileNo: number): void {
    this.#file = this.#create(fileNo);
    this.#fileNo = fileNo;
  }

  get fileNo(): number {
    return this.#fileNo;
  }

  get failed(): LogFailedError | undefined {
    return this.#failed;
  }

  /** Seals the frame in `bytes[0, length)` (head reserved by the caller) and writes it; `done` comes when it is durable, or never will be. */
  append(bytes: Buffer, length: number, done: (error: LogFailedError | null) => void): void {
    if (this.#failed) return done(this.#failed);
    try {
      if (this.#position + length > this.#options.fileBytesMax && this.#position > FILE_HEAD_BYTES) this.#rotate();
    } catch (error) {
      return done(this.#fail(error));
    }
    sealFrame(bytes, length, this.#fileNo);
    const at = this.#position;
    this.#position += length;
    this.#options.files.write(this.#file!, bytes, 0, length, at, (error) => done(error ? this.#fail(error) : null));
    if (this.#prepared === "none" && this.#position > this.#options.fileBytesMax / 2) this.#prepareNext();
  }

  /** Removes whole files; the one being written stays. */
  remove(fileNo: number): void {
    if (fileNo >= this.#fileNo) return;
    this.#options.files.remove(join(this.#options.directory, walFileName(fileNo)));
  }

  close(): void {
    this.#closed = true;
    if (this.#file !== undefined) this.#options.files.close(this.#file);
    this.#file = undefined;
  }

  #fail(error: unknown): LogFailedError {
    this.#failed ??= new LogFailedError(error);
    return this.#failed;
  }

  #rotate(): void {
    const next = this.#fileNo + 1;
    const file = this.#prepared === "ready" ? this.#adopt(next) : this.#create(next);
    this.#options.files.close(this.#file!);
    this.#file = file;
    this.#fileNo = next;
    this.#position = FILE_HEAD_BYTES;
    if (this.#prepared === "ready") this.#prepared = "none";
  }

  #create(fileNo: number): FileHandle {
    const { files, directory } = this.#options;
    const file = files.openDurable(join(directory, walFileName(fileNo)), true);
    files.writeNow(file, fileHead(fileNo), 0);
    files.syncDirectory(directory);
    return file;
  }

  #adopt(fileNo: number): FileHandle {
    const { files, directory } = this.#options;
    const path = join(directory, walFileName(fileNo));
    files.rename(join(directory, PREPARED_NAME), path);
    const file = files.openDurable(path, false);
    files.writeNow(file, fileHead(fileNo), 0);
    files.syncDirectory(directory);
    return file;
  }

  /**
   * Zeros written ahead make the commit that follows about a third faster: the file system then has no size or extent to journal with it.
   * A preparation that fails only costs that speed.
   */
  #prepareNext(): void {
    const { files, directory, fileBytesMax } = this.#options;
    this.#prepared = "filling";
    files.fillZeros(join(directory, PREPARED_NAME), fileBytesMax, () => this.#closed, (error) => {
      this.#prepared = error ? "none" : "ready";
    });
  }
}

export const PREPARED_NAME = "prepared.next";
