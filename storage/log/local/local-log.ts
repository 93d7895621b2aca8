/**
 * The write-ahead log of one machine as a `CommitLog`: one log for all shards, so what fails, presses or is opened
 * again is always all of them. A position is the number of a log file.
 *
 * Not here: frames (group-commit.ts), files (wal-files.ts), reading (read-log.ts), whose directory it is
 * (ownership.ts).
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { LogFailedError } from "../../errors.ts";
import { isDiskFull, shortageOf, type Shortage } from "../../shortage.ts";
import { type Pace, paced } from "../../steps.ts";
import { ALL_SHARDS, type LogPosition, type ShardId } from "../../types.ts";
import type { FileSystem } from "../../vfs/file-system.ts";
import { guardedFiles } from "../../vfs/guarded-files.ts";
import type { HeldDirectory } from "../../vfs/held-directory.ts";
import type {
  Appender,
  CommitLog,
  LogContents,
  LogCut,
  LogHooks,
  LogRange,
  LogRead,
  LogReader,
  Needed,
} from "../commit-log.ts";
import { FILE_HEADER_BYTES, walFileName } from "./frame.ts";
import { GroupCommit } from "./group-commit.ts";
import { type FoundExtent, LogExtent, readExtent } from "./log-extent.ts";
import { LogTrim } from "./log-trim.ts";
import { Ownership } from "./ownership.ts";
import { logFileNumbers, reachOf, readLogFiles } from "./read-log.ts";
import { hasRoom, PREPARED_NAME, WalFiles, type WalPlace } from "./wal-files.ts";

const MIB = 1 << 20;
const BACKLOG_BYTES_MAX = 16 * MIB;
/** Zeros that must fit before a failed log is opened again. */
const PROBE_BYTES = MIB;
const OPENING_ID_BYTES = 8;

export type LocalLogOptions = {
  /** The data directory; the log is `wal` in it, and what damaged shards need of it `damaged`. */
  root: string;
  held: HeldDirectory | undefined;
  files: FileSystem;
  /** Size of one log file, bytes. */
  fileBytesMax: number;
  /** Log kept before shards are flushed because of it, bytes. */
  keptBytesMax: number;
  /** See `GroupCommitOptions`. */
  markAfterMs: number;
  fullFrameBytes: number;
};

/** Of the program that opens it, and what the log before it has left. */
type Before = { openingId: string; unacked: WalPlace | undefined };

export class LocalLog implements CommitLog {
  readonly isOneOrder = true;
  readonly #options: LocalLogOptions;
  readonly #directory: string;
  readonly #files: FileSystem;
  readonly #hooks: LogHooks;
  readonly #before: Before;
  readonly #ownership: Ownership;
  readonly #extent: LogExtent;
  readonly #wal: WalFiles;
  readonly #commit: GroupCommit;
  readonly #trim: LogTrim;
  /** The directory could not be noted as this one's, since the disk is full: it can be read all the same. */
  #noRoom: Error | undefined;
  /** What `begin` has found, for `recover`. */
  #found: FoundExtent = { extent: undefined, isDamaged: false };
  /** What `recover` has found, for `open`. */
  #end = { newestFileNo: 0, chain: 0 };
  #isFailureTold = false;

  constructor(options: LocalLogOptions, hooks: LogHooks, before?: Before) {
    this.#options = options;
    this.#hooks = hooks;
    this.#before = before ?? { openingId: randomBytes(OPENING_ID_BYTES).toString("hex"), unacked: undefined };
    const directory = (this.#directory = join(options.root, "wal"));
    const { files, held, fileBytesMax, markAfterMs, fullFrameBytes } = options;
    this.#ownership = new Ownership({ directory, files, held, openingId: this.#before.openingId });
    this.#files = guardedFiles(files, () => this.mustOwn());
    this.#extent = new LogExtent(directory, this.#files);
    this.#wal = new WalFiles({
      directory,
      files: this.#files,
      fileBytesMax,
      onBegin: (fileNo) => {
        this.#ownership.noteWritten(fileNo);
        this.#extent.begun(fileNo);
      },
      onLeave: (fileNo) => this.#extent.endsBefore(fileNo),
      // Records that waited for room are written now.
      onRoom: () => this.schedule(),
    });
    this.#commit = new GroupCommit(this.#wal, this.#commitHooks(), { markAfterMs, fullFrameBytes });
    this.#trim = new LogTrim({
      root: options.root,
      directory,
      files: this.#files,
      ownership: this.#ownership,
      extent: this.#extent,
      kept: () => hooks.kept(),
      onFailure: (error) => hooks.onTrimFailure(error),
    });
  }

  #commitHooks(): ConstructorParameters<typeof GroupCommit>[1] {
    return {
      // Those records can wait in memory, the rest of the room is for what cannot.
      beforeWrite: () => {
        if (!this.#wal.isExhausted && this.#wal.failed === undefined) this.#hooks.beforeWrite();
      },
      afterCommit: () => {
        if (this.#wal.failed === undefined) this.#hooks.afterCommit();
        else this.#tellFailure();
      },
      onListenerError: (error) => this.#hooks.onListenerError(error),
    };
  }

  get appender(): Appender {
    return this.#commit;
  }

  // ---- opening

  async contents(): Promise<LogContents> {
    const numbers = logFileNumbers(this.#directory, this.#files);
    if (numbers.length === 0) return "nothing";
    // Each first opening that was cut short leaves a file without a frame.
    const isBegun = numbers[0] === 1 && numbers.every((fileNo) => this.#isUnused(fileNo));
    return isBegun ? "begun" : "records";
  }

  #isUnused(fileNo: number): boolean {
    const look = this.#files.look(join(this.#directory, walFileName(fileNo)));
    return look !== undefined && look.size <= FILE_HEADER_BYTES;
  }

  async begin(): Promise<void> {
    this.#found = readExtent(this.#directory, this.#files);
    try {
      this.#extent.begin(this.#ownership.begin(), this.#found, logFileNumbers(this.#directory, this.#files)[0] ?? 1);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
      this.#noRoom = error as Error;
    }
  }

  async recover(reader: LogReader, pace: Pace): Promise<LogRead> {
    const { unacked } = this.#before;
    const { extent } = this.#found;
    const options = { directory: this.#directory, files: this.#files, unacked, extent };
    const read = await paced(pace, readLogFiles(options, reader));
    const { newestFileNo, chain, oldestFileNo } = read;
    // A missing one is given up in its turn.
    const first = Math.min(oldestFileNo, extent?.first ?? oldestFileNo);
    if (chain !== undefined) this.#ownership.noteRead(newestFileNo, chain);
    this.#end = { newestFileNo, chain: chain ?? 0 };
    this.#trim.begin(first);
    return read;
  }

  async open(): Promise<void> {
    if (this.#noRoom !== undefined) throw this.#noRoom;
    this.#wal.open(this.#end.newestFileNo + 1, this.#end.chain);
  }

  refuse(cause: unknown): void {
    this.#wal.refuse(this.#end.newestFileNo, cause);
    this.#isFailureTold = true;
  }

  // ---- how it stands: one cause for all shards

  failure(_shard?: ShardId): LogFailedError | undefined {
    return this.#wal.failed;
  }

  /** Bytes that wait, as a part of 16 MiB. Infinite also when there is no room for further files. */
  pressure(_shard?: ShardId): number {
    if (this.#wal.failed !== undefined || this.#wal.isShort) return Number.POSITIVE_INFINITY;
    return this.#commit.backlogBytes / BACKLOG_BYTES_MAX;
  }

  shortage(_shard?: ShardId): Shortage | undefined {
    if (this.#wal.failed !== undefined) return shortageOf(this.#wal.failed) ?? "log failed";
    if (this.#wal.isShort) return shortageOf(this.#wal.notPrepared) ?? "log stuck";
    return this.#commit.backlogBytes > BACKLOG_BYTES_MAX ? "log behind" : undefined;
  }

  shortageCause(_shard?: ShardId): unknown {
    return this.#wal.failed ?? (this.#wal.isShort ? this.#wal.notPrepared : undefined);
  }

  // ---- keeping and trimming

  /** Of the files that may be kept. Files that cannot go although nobody needs them ask for no flush. */
  get fullness(): number {
    const { keptBytesMax, fileBytesMax } = this.#options;
    const filesMax = Math.max(2, Math.ceil(keptBytesMax / fileBytesMax));
    return (this.#wal.fileNo - this.#trim.neededFrom) / filesMax;
  }

  /** Files behind the newest. */
  heldBack({ from }: Needed): number {
    return this.#wal.fileNo - from;
  }

  trim(needed: Iterable<Needed>): void {
    let oldest = this.#wal.fileNo;
    for (const { from } of needed) oldest = Math.min(oldest, from);
    this.#trim.below(oldest);
  }

  async cut(): Promise<LogCut> {
    await this.idle();
    const fileNo = this.#wal.leaveFile();
    return { holds: ({ from }) => from < fileNo, isGone: () => this.#trim.oldestFileNo >= fileNo };
  }

  /** What is on its way to the log can get into one of the next two files. */
  rangeOf(_shard: ShardId, oldest: LogPosition | undefined, isAppending: boolean): LogRange {
    const { fileNo } = this.#wal;
    if (fileNo === 0) {
      const { first, last } = reachOf(logFileNumbers(this.#directory, this.#files), this.#found.extent);
      return first > last ? rangeOf(0, 0) : rangeOf(first, last);
    }
    const first = oldest ?? (isAppending ? fileNo : 0);
    return rangeOf(first, first === 0 ? 0 : fileNo + 2);
  }

  get hasDamagedParts(): boolean {
    return this.#trim.hasDamagedParts;
  }

  // ---- life

  mustOwn(): void {
    this.#ownership.check();
  }

  /** What is being written is finished, and nothing is written after it. */
  checkOwner(): void {
    if (this.#wal.failed !== undefined) return;
    try {
      this.mustOwn();
    } catch (error) {
      this.#wal.fail(error);
      void this.idle().then(() => this.#tellFailure());
    }
  }

  schedule(): void {
    this.#commit.schedule();
  }

  idle(): Promise<void> {
    return this.#commit.idle();
  }

  async stop(): Promise<void> {
    this.#commit.close();
    await this.#wal.stopPreparing();
    // Records may have been appended meanwhile.
    await this.idle();
    this.#wal.close(this.#trim.oldestFileNo < this.#wal.fileNo);
  }

  end(): void {
    this.#ownership.end();
  }

  /** The directory is its own, and a little of the disk can be filled and let go. */
  canReopen(_shard?: ShardId): Promise<boolean> {
    const path = join(this.#directory, PREPARED_NAME);
    const bytes = Math.min(PROBE_BYTES, this.#options.fileBytesMax);
    if (!this.#isOwned || !hasRoom(this.#files, this.#directory, bytes)) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const filled = (error: Error | null): void => {
      this.#trim.tryRemove(path);
      resolve(error === null);
    };
    this.#files.fillZeros(path, PROBE_BYTES, () => false, filled);
    return promise;
  }

  reopen(hooks: LogHooks): LocalLog {
    return new LocalLog(this.#options, hooks, { openingId: this.#before.openingId, unacked: this.#wal.unacked });
  }

  async reopenShard(shard: ShardId): Promise<void> {
    throw new Error(`assertion failed: shard ${shard} has not failed alone, the log is all shards'`);
  }

  get #isOwned(): boolean {
    try {
      this.mustOwn();
      return true;
    } catch {
      return false;
    }
  }

  #tellFailure(): void {
    if (this.#isFailureTold) return;
    this.#isFailureTold = true;
    this.#hooks.onFailure(this.#wal.failed!, ALL_SHARDS);
  }
}

const rangeOf = (first: number, last: number): LogRange => ({
  first: first as LogPosition,
  last: last as LogPosition,
});
