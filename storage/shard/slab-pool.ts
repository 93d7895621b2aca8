/**
 * Memory of memtables, used again once they are flushed: touching memory for the first time costs more than writing a
 * record to it. One pool for all shards of a store.
 *
 * Invariant: what was given back is read by nobody any more, neither here nor in the flush worker. So whoever reads a
 * memtable copies what it keeps.
 */

export const SLAB_BYTES_MIN = 2 << 10;
export const SLAB_BYTES_MAX = 256 << 10;
/** Kept unused: what is flushed at once comes back at once, and is taken again within as much of appending. */
const UNUSED_BYTES_MAX = 8 << 20;

export class SlabPool {
  /** By size, powers of two. */
  readonly #unused = new Map<number, Buffer[]>();
  #unusedBytes = 0;

  /** Shared memory of at least `bytesMin`; about `bytes` of it, where that is less than the largest slab. */
  take(bytes: number, bytesMin: number): Buffer {
    if (bytesMin > SLAB_BYTES_MAX) return Buffer.from(new SharedArrayBuffer(bytesMin));
    let size = SLAB_BYTES_MIN;
    while (size < SLAB_BYTES_MAX && (size < bytesMin || size * 2 <= bytes)) size *= 2;
    const slab = this.#unused.get(size)?.pop();
    if (slab === undefined) return Buffer.from(new SharedArrayBuffer(size));
    this.#unusedBytes -= size;
    return slab;
  }

  giveBack(slabs: readonly Buffer[]): void {
    for (const slab of slabs) {
      const { length } = slab;
      if (length > SLAB_BYTES_MAX || this.#unusedBytes + length > UNUSED_BYTES_MAX) continue;
      const ofSize = this.#unused.get(length);
      if (ofSize === undefined) this.#unused.set(length, [slab]);
      else ofSize.push(slab);
      this.#unusedBytes += length;
    }
  }
}
