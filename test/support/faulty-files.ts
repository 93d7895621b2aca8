/** The file system under the log, as a test wants it: writes held back, or failing. */
import { realFileSystem, type FileSystem } from "../../storage/vfs/file-system.ts";
import { FRAME_HEADER_BYTES } from "../../storage/log/local/frame.ts";
import { diskHeld, diskReleased } from "./settled-faults.ts";
import { until } from "./wait.ts";

export class FaultyFiles {
  readonly files: FileSystem;
  #held: (() => void)[] = [];
  #isHolding = false;
  #failures: (NodeJS.ErrnoException & { isWritten?: boolean })[] = [];
  #openFailures: NodeJS.ErrnoException[] = [];
  failuresMet = 0;

  constructor() {
    this.files = {
      ...realFileSystem,
      write: (file, bytes, from, to, position, done) => {
        // A mark at rest carries nobody's record.
        const failure = to - from > FRAME_HEADER_BYTES ? this.#failures.shift() : undefined;
        if (failure !== undefined) {
          this.failuresMet++;
          if (failure.isWritten) return realFileSystem.write(file, bytes, from, to, position, () => done(failure));
          return void setImmediate(() => done(failure));
        }
        const write = () => realFileSystem.write(file, bytes, from, to, position, done);
        if (this.#isHolding) this.#held.push(write);
        else write();
      },
      openDurable: (path, create) => {
        const failure = path.endsWith(".wal") ? this.#openFailures.shift() : undefined;
        if (failure === undefined) return realFileSystem.openDurable(path, create);
        this.failuresMet++;
        throw failure;
      },
    };
  }

  /** From now on writes wait for `release`. */
  hold(): void {
    this.#isHolding = true;
    diskHeld(this);
  }

  /** Resolves when a write waits. */
  held(): Promise<void> {
    return until("a write is held back", () => this.#held.length > 0);
  }

  release(): void {
    this.#isHolding = false;
    diskReleased(this);
    for (const write of this.#held.splice(0)) write();
  }

  /** With `isWritten` the bytes reach the disk all the same. */
  failNextWrite(code: string, { isWritten = false } = {}): void {
    this.#failures.push(Object.assign(new Error(`${code}: injected`), { code, isWritten }));
  }

  /** Of a log file. */
  failNextOpen(code: string): void {
    this.#openFailures.push(Object.assign(new Error(`${code}: injected`), { code }));
  }
}
