/**
 * The files of one node's write-ahead log: appends frames, rotates by size, prepares the next file ahead.
 *
 * Not here: what is in a frame, when to write one (group-commit.ts), which files are still needed.
 *
 * Invariants
 * - One write is under way at a time, so a crash tears at most the last frame of the last file.
 * - A file gets its final name, durably, before the first frame is written to it, and the file before it is complete by
 *   then.
 * - A prepared file is nothing to recovery: it is removed.
 * - After a failed write nothing is written ever again (`failed`): what is on disk is known only by reading it.
 *
 * A full disk shows first where it hurts nobody: the next file cannot be prepared. Frames go on into the room of the
 * file that is being written, and `isShort` says early that new work should be refused; preparing is tried again every
 * second.
 */
import { join } from "node:path";
import { LogFailedError, OtherWriterError } from "../../errors.ts";
import type { FileHandle, FileSystem } from "../../vfs/file-system.ts";
import { chainAfter, FILE_HEADER_BYTES, fileHeader, FRAME_HEADER_BYTES, sealFrame, walFileName } from "./frame.ts";

export const PREPARED_NAME = "prepared.next";
const UNPREPARED_BYTES_MAX = 64 << 10;
const PREPARE_AGAIN_MS = 1000;

export type WalFilesOptions = {
  directory: string;
  files: FileSystem;
  /** Size at which a file is left for the next, bytes. */
  fileBytesMax: number;
  /** A file was begun: frames go there from now on. */
  onBegin?: (fileNo: number) => void;
  /** The newest file is about to be removed, since nothing was written to it. Throws when it must stay. */
  onLeave?: (fileNo: number) => void;
  /** Called when there is room again after `isShort`. */
  onRoom?: () => void;
};

export type WalPlace = { fileNo: number; position: number };

type Preparation = "none" | "filling" | "ready";

export class WalFiles {
  readonly #options: WalFilesOptions;
  #file: FileHandle | undefined;
  #fileNo = 0;
  /** Where the next frame goes. */
  #position = FILE_HEADER_BYTES;
  #chain = 0;
  #isMarked = true;
  /** Whether the file being written has its room already. */
  #isPrepared = false;
  #next: Preparation = "none";
  /** Why the next file could not be prepared the last time that it was tried. */
  #notPrepared: Error | undefined;
  #prepareTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  #onFilled: (() => void) | undefined;
  #failed: LogFailedError | undefined;
  #unacked: WalPlace | undefined;

  constructor(options: WalFilesOptions) {
    this.#options = options;
  }

  /**
   * Begins the log's next file. After recovery only: until then the torn file must stay the last.
   * @throws when the file cannot be made; the log then stays without one, see `refuse`.
   */
  open(fileNo: number, chain: number): void {
    this.#chain = chain;
    this.#begin(fileNo, this.#create(fileNo), false);
  }

  /** There is no file to write to: everything is refused, as after a failed write. */
  refuse(fileNo: number, error: unknown): void {
    this.#fileNo = fileNo;
    this.fail(error);
  }

  get fileNo(): number {
    return this.#fileNo;
  }

  get failed(): LogFailedError | undefined {
    return this.#failed;
  }

  /** Where the write that failed begins: from there on nothing was acknowledged. */
  get unacked(): WalPlace | undefined {
    return this.#unacked;
  }

  /** Whether it is known without a further frame that the last one was durable. */
  get isMarked(): boolean {
    return this.#isMarked;
  }

  /** Counts everything that was written to this file; for telling whether something was written since. */
  get position(): number {
    return this.#position;
  }

  /** Why there is no next file ahead, when the last try to prepare it failed. */
  get notPrepared(): Error | undefined {
    return this.#notPrepared;
  }

  /**
   * The next file cannot be prepared, and half of this one is used: new work should be refused, so that what is under
   * way finds room.
   */
  get isShort(): boolean {
    return this.#notPrepared !== undefined && this.#room() < this.#options.fileBytesMax / 2;
  }

  /** Next to nothing is left: only what must be written may be. */
  get isExhausted(): boolean {
    return this.#notPrepared !== undefined && this.#room() < this.#options.fileBytesMax / 8;
  }

  /**
   * Seals the frame in `bytes[0, length)` (header reserved by the caller) and writes it; `done` comes when it is
   * durable, or never will be.
   */
  append(bytes: Buffer, length: number, done: (error: LogFailedError | null) => void): void {
    if (this.#failed) return done(this.#failed);
    if (this.#file === undefined) return done(this.fail(new Error("the log is closed")));
    try {
      if (this.#mustRotate(length)) this.#rotate();
    } catch (error) {
      return done(this.fail(error));
    }
    const at = this.#seal(bytes, length);
    this.#options.files.write(this.#file, bytes, 0, length, at, (error) => {
      if (error) this.#unacked = { fileNo: this.#fileNo, position: at };
      done(error ? this.fail(error) : null);
    });
    if (this.#mustPrepare()) this.#prepareNext();
  }

  /** Writes a mark: a later reader of the log knows by it that everything before was durable. */
  mark(done: (error: LogFailedError | null) => void): void {
    this.append(Buffer.alloc(FRAME_HEADER_BYTES), FRAME_HEADER_BYTES, done);
  }

  /** No further file is prepared; one that is being filled is waited for. Frames can still be written. */
  async stopPreparing(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#prepareTimer);
    if (this.#next === "filling") await new Promise<void>((resolve) => (this.#onFilled = resolve));
  }

  /**
   * After `stopPreparing`, while nothing is being written: a write under way would go on with a descriptor that is
   * another file's by then. With a mark, unless the log has failed.
   * @param hasOthers there are older files: then this one is not kept when nothing was written to it
   */
  close(hasOthers: boolean): void {
    if (this.#next !== "none") this.#dropPrepared();
    if (this.#file === undefined) return;
    try {
      if (this.#failed === undefined && !this.#isMarked) this.#markNow();
    } finally {
      this.#options.files.close(this.#file);
      this.#file = undefined;
      if (this.#failed === undefined) this.#leaveNothingOver(hasOthers);
    }
  }

  /** No room that was prepared and not used, and no file in which nothing was written. */
  #leaveNothingOver(hasOthers: boolean): void {
    const { files, directory, onLeave } = this.#options;
    const name = walFileName(this.#fileNo);
    if (hasOthers && this.#position === FILE_HEADER_BYTES) {
      try {
        onLeave?.(this.#fileNo);
      } catch {
        // It stays, and is empty.
        return;
      }
      this.#tryRemove(name);
      files.syncDirectory(directory);
    } else if (this.#isPrepared) {
      try {
        files.truncate(join(directory, name), this.#position);
      } catch {
        // It has zeros at its end then.
        return;
      }
    }
  }

  #seal(bytes: Buffer, length: number): number {
    sealFrame(bytes, length, this.#fileNo, this.#chain);
    this.#chain = chainAfter(bytes, 0);
    this.#isMarked = length === FRAME_HEADER_BYTES;
    const at = this.#position;
    this.#position += length;
    return at;
  }

  #markNow(): void {
    const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
    const at = this.#seal(bytes, bytes.length);
    this.#options.files.writeNow(this.#file!, bytes, at);
  }

  /** Nothing is written any more. */
  fail(error: unknown): LogFailedError {
    this.#failed ??= new LogFailedError(error);
    clearTimeout(this.#prepareTimer);
    return this.#failed;
  }

  // ---- rotation

  /**
   * Begins another file, so that the one before can be trimmed. Only while nothing is being written.
   * @returns its number; every record before is in a file with a lower one
   * @throws LogFailedError, as a write does
   */
  leaveFile(): number {
    if (this.#failed) throw this.#failed;
    if (this.#position === FILE_HEADER_BYTES) return this.#fileNo;
    try {
      this.#rotate();
    } catch (error) {
      throw this.fail(error);
    }
    return this.#fileNo;
  }

  /** A file without room of its own is left as soon as there is a better one. */
  #mustRotate(length: number): boolean {
    if (this.#position <= FILE_HEADER_BYTES) return false;
    if (!this.#isPrepared && this.#next === "ready") return true;
    return this.#position + length > this.#options.fileBytesMax;
  }

  #rotate(): void {
    const fileNo = this.#fileNo + 1;
    const isPrepared = this.#next === "ready";
    const file = isPrepared ? this.#adopt(fileNo) : this.#create(fileNo);
    this.#options.files.close(this.#file!);
    if (isPrepared) this.#next = "none";
    this.#begin(fileNo, file, isPrepared);
  }

  #begin(fileNo: number, file: FileHandle, isPrepared: boolean): void {
    this.#file = file;
    this.#fileNo = fileNo;
    this.#position = FILE_HEADER_BYTES;
    this.#isMarked = true;
    this.#isPrepared = isPrepared;
    this.#options.onBegin?.(fileNo);
  }

  #create(fileNo: number): FileHandle {
    const path = join(this.#options.directory, walFileName(fileNo));
    return this.#writeHeader(fileNo, this.#options.files.openDurable(path, true));
  }

  #adopt(fileNo: number): FileHandle {
    const { files, directory } = this.#options;
    const path = join(directory, walFileName(fileNo));
    // A rename would replace it.
    if (files.look(path) !== undefined) throw new OtherWriterError(`${path} is there already`);
    files.rename(join(directory, PREPARED_NAME), path);
    return this.#writeHeader(fileNo, files.openDurable(path, false));
  }

  /** What is left of a file whose header could not be written, recovery removes. */
  #writeHeader(fileNo: number, file: FileHandle): FileHandle {
    const { files, directory } = this.#options;
    const header = fileHeader(fileNo, this.#chain);
    try {
      files.writeNow(file, header, 0);
      files.syncDirectory(directory);
    } catch (error) {
      files.close(file);
      throw error;
    }
    this.#chain = chainAfter(header, 0);
    return file;
  }

  // ---- the next file, ahead

  #room(): number {
    const { fileBytesMax } = this.#options;
    const here = this.#isPrepared ? Math.max(0, fileBytesMax - this.#position) : 0;
    return here + (this.#next === "ready" ? fileBytesMax : 0);
  }

  #mustPrepare(): boolean {
    if (this.#next !== "none" || this.#prepareTimer !== undefined || this.#closed) return false;
    const quarter = this.#options.fileBytesMax / 4;
    return this.#position > (this.#isPrepared ? quarter : Math.min(quarter, UNPREPARED_BYTES_MAX));
  }

  /**
   * Zeros written ahead make the commits that follow about a third faster (the file system then has no size or extent
   * to journal with them), and a frame that goes into them needs no room any more. A preparation that fails stops
   * nothing by itself.
   */
  #prepareNext(): void {
    const { files, directory, fileBytesMax } = this.#options;
    this.#prepareTimer = undefined;
    this.#next = "filling";
    if (!hasRoom(files, directory, fileBytesMax)) return this.#prepared(noRoom());
    const isStopped = (): boolean => this.#closed || this.#failed !== undefined;
    files.fillZeros(join(directory, PREPARED_NAME), fileBytesMax, isStopped, (error) => this.#prepared(error));
  }

  #prepared(error: Error | null): void {
    if (this.#closed) return this.#onFilled?.();
    const wasRefused = this.#notPrepared !== undefined;
    this.#next = error ? "none" : "ready";
    this.#notPrepared = error ?? undefined;
    if (error) {
      this.#dropPrepared();
      if (this.#failed === undefined) this.#prepareTimer = setTimeout(() => this.#prepareNext(), PREPARE_AGAIN_MS);
    } else if (wasRefused) this.#options.onRoom?.();
  }

  /** A half-filled one would take the room that others need. Whoever cannot remove it leaves it to recovery. */
  #dropPrepared(): void {
    this.#next = "none";
    this.#tryRemove(PREPARED_NAME);
  }

  #tryRemove(name: string): void {
    try {
      this.#options.files.remove(join(this.#options.directory, name));
    } catch {
      return;
    }
  }
}

/** What the system would say if it were asked for more. */
const noRoom = (): Error => Object.assign(new Error("ENOSPC: less than two log files are free"), { code: "ENOSPC" });

/** Room for a further log file and as much again for the segments that let older ones go. */
export function hasRoom(files: FileSystem, directory: string, fileBytesMax: number): boolean {
  try {
    return files.freeBytes(directory) > 2 * fileBytesMax;
  } catch {
    return true;
  }
}
