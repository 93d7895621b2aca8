/**
 * Unpacked blocks, up to `bytesMax` of them in sum, least recently used dropped first. Blocks never change, so nothing
 * is ever stale.
 */
export class BlockCache {
  readonly #bytesMax: number;
  readonly #blocks = new Map<string, Buffer>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(name: string, read: () => Buffer): Buffer {
    const known = this.#blocks.get(name);
    if (known !== undefined) {
      this.#blocks.delete(name);
      this.#blocks.set(name, known);
      return known;
    }
    const block = read();
    this.#blocks.set(name, block);
    this.#bytes += block.length;
    this.#trim();
    return block;
  }

  /** Forgets blocks whose name begins so. */
  drop(prefix: string): void {
    for (const [name, block] of this.#blocks) {
      if (!name.startsWith(prefix)) continue;
      this.#blocks.delete(name);
      this.#bytes -= block.length;
    }
  }

  #trim(): void {
    for (const [name, block] of this.#blocks) {
      if (this.#bytes <= this.#bytesMax) return;
      this.#blocks.delete(name);
      this.#bytes -= block.length;
    }
  }
}
