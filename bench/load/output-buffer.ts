/** Bytes that wait for a socket: what is put in until `flush` leaves in one write. */
import type { Socket } from "bun";

export class OutputBuffer {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;

  /** Makes room for that many bytes; the calls after it must not put in more. */
  reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe((this.#bytes.length + bytes) * 2);
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }

  byte(value: number): void {
    this.#bytes[this.#length++] = value;
  }

  latin1(text: string): void {
    this.#length += this.#bytes.write(text, this.#length, "latin1");
  }

  bytes(bytes: Buffer): void {
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** What the socket does not take stays, until its `drain`. */
  flush(socket: Socket<undefined> | undefined): void {
    if (this.#length === 0 || socket === undefined) return;
    const written = Math.max(0, socket.write(this.#bytes.subarray(0, this.#length)));
    if (written < this.#length) this.#bytes.copyWithin(0, written, this.#length);
    this.#length -= written;
  }
}
