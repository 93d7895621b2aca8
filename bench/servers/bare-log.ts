/**
 * The least that makes messages durable: a file of zeros that is written from its beginning to its end, again and
 * again. While one batch is written the next gathers, as in Parley's group commit. It has no checksums, no index, and
 * nobody reads it.
 */
import { closeSync, constants, openSync, write, writeSync } from "node:fs";

const FILE_BYTES = 32 << 20;
const ZEROS_BYTES = 1 << 20;

export class BareLog {
  readonly #file: number;
  #gathering: Buffer = Buffer.allocUnsafeSlow(1 << 20);
  #writing: Buffer = Buffer.allocUnsafeSlow(1 << 20);
  #length = 0;
  #position = 0;
  #owners: (() => void)[] = [];
  #isWriting = false;
  #isScheduled = false;

  constructor(path: string) {
    const zeros = Buffer.alloc(ZEROS_BYTES);
    // Each write returns when its bytes are on disk: one system call in place of write and fdatasync.
    this.#file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_DSYNC, 0o600);
    for (let at = 0; at < FILE_BYTES; at += ZEROS_BYTES) writeSync(this.#file, zeros, 0, ZEROS_BYTES, at);
  }

  /** Calls `onDurable` when `text` is on disk. Owners are called in the order of their texts. */
  append(text: string, onDurable: () => void): void {
    if (this.#length + text.length * 3 > this.#gathering.length) this.#grow();
    this.#length += this.#gathering.write(text, this.#length, "utf8");
    this.#owners.push(onDurable);
    if (this.#isWriting || this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#write();
    });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(): void {
    const [batch, length, owners] = [this.#gathering, this.#length, this.#owners];
    [this.#gathering, this.#writing] = [this.#writing, batch];
    this.#length = 0;
    this.#owners = [];
    this.#isWriting = true;
    if (this.#position + length > FILE_BYTES) this.#position = 0;
    write(this.#file, batch, 0, length, this.#position, (error, written) => {
      if (error !== null || written < length) throw error ?? new Error("the log's write was cut short");
      this.#isWriting = false;
      if (this.#length > 0) this.#write();
      for (const durable of owners) durable();
    });
    this.#position += length;
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(this.#gathering.length * 2);
    this.#gathering.copy(larger, 0, 0, this.#length);
    this.#gathering = larger;
  }
}
