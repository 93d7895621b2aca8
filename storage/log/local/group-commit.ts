/**
 * Gathers records into frames and notifies their owners when they are durable.
 *
 * While one frame is being written the next gathers: an idle log pays one write a record, a busy one spreads a write
 * over hundreds. There is no timer. Owners are notified in the order of the log, after the write has returned and never
 * before (G1, G5). After a failed write every owner, present and later, is notified of the failure.
 *
 * One write is under way at a time. A full frame is handed to the disk as soon as the write before has returned, before
 * the records of that one take effect, which they do in the same turn of the event loop: so the disk does not wait for
 * it, and nobody can see the difference.
 *
 * When nothing was written for a while after a frame, a mark follows it: no later frame says yet that it was durable,
 * so the mark does (frame.ts).
 *
 * Bound: `backlogBytes` is what waits; the caller refuses work above its limit, the log itself refuses nothing.
 */
import { ByteWriter } from "../../encoding/byte-writer.ts";
import type { LogFailedError } from "../../errors.ts";
import type { LogPosition, ShardId } from "../../types.ts";
import type { Appender, Commit } from "../commit-log.ts";
import { FRAME_HEADER_BYTES } from "./frame.ts";
import type { WalFiles } from "./wal-files.ts";

const BUFFER_BYTES = 256 << 10;
const SPARES_MAX = 2;
/** A buffer that one large frame made larger than this is not kept. */
const KEPT_BYTES_MAX = 4 << 20;

/** `position`: the number of its file. */
type WrittenFrame = { commits: Commit[]; bytes: Buffer; position: LogPosition; error: LogFailedError | null };

export type GroupCommitOptions = {
  /** A log that rests this long gets a mark. 0: never. */
  markAfterMs: number;
  /**
   * A frame of so many bytes gains little from waiting for more: it is written while the owners of the one before are
   * notified.
   */
  fullFrameBytes: number;
};

export type GroupCommitHooks = {
  /** Just before a frame is closed: the last chance to add records to it. */
  beforeWrite: () => void;
  /** After the owners of a frame were notified. */
  afterCommit: () => void;
  /** A notified owner threw, or a hook did. */
  onListenerError(error: unknown): void;
};

/** Bytes that may gather: a frame of them, and one record more, can be read again (frame.ts). */
const GATHERED_BYTES_MAX = 512 << 20;

export class GroupCommit implements Appender {
  readonly out = new ByteWriter(Buffer.allocUnsafeSlow(BUFFER_BYTES), FRAME_HEADER_BYTES);
  /**
   * One buffer gathers, one is written, and one has been written and takes effect: they stay in the processor's cache.
   */
  readonly #spares: Buffer[] = [];
  readonly #files: WalFiles;
  readonly #hooks: GroupCommitHooks;
  #gathering: Commit[] = [];
  /** Where the records that were pushed end. */
  #end = FRAME_HEADER_BYTES;
  #isRecordOpen = false;
  #writing = false;
  /** Written, or failed; their owners were not notified yet. In the order of the log. */
  readonly #finished: WrittenFrame[] = [];
  #isFinishing = false;
  /** A record could not take effect: memory does not say any more what the log says. */
  #isBroken = false;
  /** Something asked for a write since the last one began. */
  #isWanted = false;
  #scheduled = false;
  #idleWaiters: (() => void)[] = [];
  #isClosing = false;
  readonly #markAfterMs: number;
  readonly #fullFrameBytes: number;
  #markTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(files: WalFiles, hooks: GroupCommitHooks, { markAfterMs, fullFrameBytes }: GroupCommitOptions) {
    this.#fullFrameBytes = fullFrameBytes;
    this.#markAfterMs = markAfterMs;
    this.#files = files;
    this.#hooks = hooks;
  }

  /** Bytes encoded and not yet handed to a write. */
  get backlogBytes(): number {
    return this.#end - FRAME_HEADER_BYTES;
  }

  /** For any shard: all of them share one frame, and none is ever fenced alone. */
  open(_shard: ShardId): number {
    if (this.#isRecordOpen) throw new Error("assertion failed: a record is begun inside of another");
    if (this.backlogBytes > GATHERED_BYTES_MAX)
      throw new RangeError(`${this.backlogBytes} bytes gather for one write, the most is ${GATHERED_BYTES_MAX}`);
    this.#isRecordOpen = true;
    this.out.pos = this.#end;
    return this.#end;
  }

  cancel(): void {
    this.#isRecordOpen = false;
    this.out.pos = this.#end;
  }

  push(commit: Commit): void {
    this.#isRecordOpen = false;
    this.#end = this.out.pos;
    this.#gathering.push(commit);
    this.schedule();
  }

  get savepoint(): number {
    return this.#gathering.length;
  }

  /** Records that belong together are there together or not at all. */
  rollBack(savepoint: number): void {
    if (this.#isRecordOpen) throw new Error("assertion failed: a record is being encoded, and others are taken back");
    const first = this.#gathering[savepoint];
    if (first === undefined) return;
    for (const commit of this.#gathering.splice(savepoint).reverse()) commit.withdraw();
    this.#end = this.out.pos = first.start;
  }

  /** Asks for a write even if no record has been pushed yet: `beforeWrite` may have some. */
  schedule(): void {
    this.#isWanted = true;
    if (this.#writing || this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#writeNext);
  }

  /** Resolves when nothing gathers and nothing is being written. */
  idle(): Promise<void> {
    if (!this.#writing && !this.#scheduled) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** No marks any more; the files get their last one when they are closed. */
  close(): void {
    this.#isClosing = true;
    clearTimeout(this.#markTimer);
    this.#markTimer = undefined;
  }

  readonly #writeNext = (): void => {
    this.#scheduled = false;
    this.#writing = true;
    this.#guarded(this.#hooks.beforeWrite);
    this.#isWanted = false;
    const commits = this.#gathering;
    if (commits.length === 0) {
      this.#writing = false;
      return this.#notifyIdle();
    }
    const { out } = this;
    const { bytes } = out;
    const pos = this.#end;
    this.#gathering = [];
    this.#end = FRAME_HEADER_BYTES;
    out.bytes = this.#spares.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    out.pos = FRAME_HEADER_BYTES;
    // No other write is under way, so the file is still the one it was written to.
    this.#files.append(bytes, pos, (error) => {
      this.#written({ commits, bytes, position: this.#files.fileNo as LogPosition, error });
    });
  };

  /** An error in a hook keeps no record from being written, and no owner from being notified. */
  #guarded(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      this.#hooks.onListenerError(error);
    }
  }

  /**
   * A full frame does not wait for the owners of the one before; small frames wait, so that replies appended by these
   * owners join them.
   */
  #written(frame: WrittenFrame): void {
    this.#writing = false;
    this.#finished.push(frame);
    // One that was begun below has failed at once.
    if (this.#isFinishing) return;
    this.#isFinishing = true;
    for (let next = this.#finished.shift(); next !== undefined; next = this.#finished.shift()) {
      const isFull = this.backlogBytes >= this.#fullFrameBytes;
      if (next.error === null && isFull && !this.#scheduled) this.#writeNext();
      this.#finish(next);
    }
    this.#isFinishing = false;
    if (this.#writing) return;
    if (this.#isWanted) this.schedule();
    else this.#rest();
  }

  #finish({ commits, bytes, position, error }: WrittenFrame): void {
    for (const commit of commits) {
      const isDone = error === null && this.#apply(commit, bytes, position);
      // An owner that throws keeps no later owner from being notified, and no frame from being written.
      try {
        if (isDone) commit.notify();
        else commit.fail(this.#files.failed!);
      } catch (listenerError) {
        this.#hooks.onListenerError(listenerError);
      }
    }
    if (bytes.length <= KEPT_BYTES_MAX && this.#spares.length < SPARES_MAX) this.#spares.push(bytes);
    this.#guarded(this.#hooks.afterCommit);
  }

  #apply(commit: Commit, bytes: Buffer, position: LogPosition): boolean {
    // A frame was written whole, even when the one behind it could not be.
    if (this.#isBroken) return false;
    try {
      commit.apply(bytes, position);
      return true;
    } catch (cause) {
      this.#isBroken = true;
      this.#files.fail(cause);
      return false;
    }
  }

  #rest(): void {
    if (this.#markAfterMs > 0 && !this.#isClosing && this.#markTimer === undefined && !this.#files.isMarked)
      this.#markLater();
    this.#notifyIdle();
  }

  /** One timer at a time, and none per frame: it looks whether the log has rested since it was set. */
  #markLater(): void {
    const { position, fileNo } = this.#files;
    this.#markTimer = setTimeout(() => {
      this.#markTimer = undefined;
      if (this.#writing || this.#scheduled || this.#files.isMarked || this.#files.failed !== undefined) return;
      if (this.#files.position !== position || this.#files.fileNo !== fileNo) return this.#markLater();
      this.#writing = true;
      this.#files.mark(() => {
        this.#writing = false;
        this.#guarded(this.#hooks.afterCommit);
        if (this.#isWanted) this.schedule();
        else this.#notifyIdle();
      });
    }, this.#markAfterMs);
    this.#markTimer.unref();
  }

  #notifyIdle(): void {
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }
}
