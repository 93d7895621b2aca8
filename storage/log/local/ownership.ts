/**
 * Whether a store is the only one that writes to its directory, and still writes to that one. Asked before a file is
 * made, renamed or removed, and now and then besides; costs a few `stat` calls.
 *
 *   - the directory is where it was (vfs/held-directory.ts), when the caller holds it;
 *   - nobody else has opened the log since (log/local/openings.ts);
 *   - the log file that is written is the one behind its name;
 *   - the newest file that was read when the log was opened is as it was then: nobody who had it open goes on with it.
 *
 * The last two need nothing of the other writer, and so find one of any version.
 */
import { join } from "node:path";
import { CorruptionError, DirectoryLostError, OtherWriterError } from "../../errors.ts";
import type { FileLook, FileSystem } from "../../vfs/file-system.ts";
import type { HeldDirectory } from "../../vfs/held-directory.ts";
import { walFileName } from "./frame.ts";
import { Openings } from "./openings.ts";
import { scanWalFile } from "./scan.ts";

export type OwnershipOptions = {
  /** `wal` of the data directory. */
  directory: string;
  files: FileSystem;
  held: HeldDirectory | undefined;
  /** Of the program that opens the log, see `Openings`. */
  openingId: string;
};

type ReadFile = { fileNo: number; chain: number; look: FileLook };

export class Ownership {
  readonly #options: OwnershipOptions;
  readonly #openings: Openings;
  #written: { fileNo: number; id: string } | undefined;
  #read: ReadFile | undefined;
  #error: OtherWriterError | undefined;

  constructor(options: OwnershipOptions) {
    const { directory, files, openingId } = options;
    this.#options = options;
    this.#openings = new Openings({ directory, files, processId: process.pid, id: openingId });
  }

  /**
   * Before anything is changed.
   * @returns number and id of this opening
   * @throws DirectoryLostError, FormatError; what the system says when it cannot be noted
   */
  begin(): { no: number; id: string } {
    this.#options.held?.check();
    this.#openings.begin();
    return { no: this.#openings.no, id: this.#options.openingId };
  }

  /** The newest file that recovery has read; `chain` is the log's at its end. None when the log is new. */
  noteRead(fileNo: number, chain: number): void {
    const look = this.#options.files.look(this.#path(fileNo));
    this.#read = look && { fileNo, chain, look };
  }

  /** A file was begun. */
  noteWritten(fileNo: number): void {
    const id = this.#options.files.look(this.#path(fileNo))?.id;
    this.#written = id === undefined ? undefined : { fileNo, id };
    this.#openings.file(fileNo);
  }

  /** Files below this one are being removed. */
  trimmedBelow(fileNo: number): void {
    if (this.#read !== undefined && this.#read.fileNo < fileNo) this.#read = undefined;
  }

  /**
   * Every file is closed; the last one is gone when nothing was written to it. Whose directory it is no more says
   * nothing.
   */
  end(): void {
    try {
      if (this.#written !== undefined && this.#options.files.look(this.#path(this.#written.fileNo)) === undefined)
        this.#written = undefined;
      this.check();
    } catch {
      return;
    }
    this.#openings.end();
  }

  /** @throws DirectoryLostError, OtherWriterError */
  check(): void {
    this.#options.held?.check();
    if (this.#error !== undefined) throw this.#error;
    this.#openings.check();
    this.#checkWritten();
    if (this.#read !== undefined) this.#checkRead(this.#read);
  }

  #checkWritten(): void {
    if (this.#written === undefined) return;
    const { fileNo, id } = this.#written;
    const found = this.#options.files.look(this.#path(fileNo))?.id;
    if (found === id) return;
    if (found === undefined) throw new DirectoryLostError(`${this.#path(fileNo)} was moved or removed`);
    throw this.#changedByOther(fileNo, "was replaced");
  }

  /** A file that was only touched, by a program that makes copies perhaps, is as it was. */
  #checkRead(read: ReadFile): void {
    const path = this.#path(read.fileNo);
    const look = this.#options.files.look(path);
    if (look === undefined) throw new DirectoryLostError(`${path} was moved or removed`);
    if (look.size === read.look.size && look.changedNs === read.look.changedNs) return;
    if (this.#chainNow(read.fileNo) !== read.chain) throw this.#changedByOther(read.fileNo, "is being written to");
    this.#read = { ...read, look };
  }

  #chainNow(fileNo: number): number | undefined {
    const path = this.#path(fileNo);
    try {
      const bytes = this.#options.files.read(path);
      const place = { fileNo, isLast: true, chain: undefined };
      // What was damaged when it was read is nobody's doing now.
      return scanWalFile(
        path,
        bytes,
        place,
        () => {},
        () => {},
      ).chain;
    } catch (error) {
      if (error instanceof CorruptionError) return undefined;
      throw error;
    }
  }

  #changedByOther(fileNo: number, how: string): OtherWriterError {
    this.#openings.changed(fileNo);
    this.#error = new OtherWriterError(`${this.#path(fileNo)} ${how} by somebody else`);
    return this.#error;
  }

  #path(fileNo: number): string {
    return join(this.#options.directory, walFileName(fileNo));
  }
}
