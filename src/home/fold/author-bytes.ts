/**
 * How many bytes of text each author has in a group's log. Part of the fold of that log (group.ts), from the first time
 * that it is asked for (stored-counts.ts). Erased posts do not count.
 *
 * Invariants
 * - Before `set` is called or the cell `head` says that the cells count, nothing is counted and no cell is written.
 * - Each author's number says through which seq it counts. So a fold that goes through the same entries again, from
 *   where `head` says, adds none of them twice.
 */
import type { UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import { CellReader, encodeCell } from "../state/cells.ts";

/** `through`: seq of the newest post that is counted. */
type Counted = { bytes: number; through: Seq };

const NOBODY: ReadonlyMap<UserId, number> = new Map();

export class AuthorBytes {
  /** Whether the numbers are right. The cells are wrong if posts were written to the log without counting. */
  isCounted: boolean;
  readonly authors = new Map<UserId, Counted>();
  /** Authors whose number changed since the derived cells were last written. */
  #dirty = new Set<UserId>();

  constructor(isCounted: boolean) {
    this.isCounted = isCounted;
  }

  of(author: UserId): number {
    return this.authors.get(author)?.bytes ?? 0;
  }

  /** A post is durable. @param bytes of its text */
  posted(seq: Seq, author: UserId, bytes: number): void {
    if (this.isCounted && this.#add(seq, author, bytes)) this.#dirty.add(author);
  }

  /** Posts are erased. @param bytes erased of each author */
  erased(bytes: ReadonlyMap<UserId, number>): void {
    for (const [author, gone] of bytes) {
      const counted = this.authors.get(author);
      if (counted === undefined) continue;
      counted.bytes -= gone;
      this.#dirty.add(author);
    }
  }

  /** Replaces all numbers by those of `counts`, which counted the whole log up to now. */
  set(counts: AuthorBytes): void {
    // Cells of an earlier count are cleared.
    for (const author of this.authors.keys()) this.#dirty.add(author);
    this.authors.clear();
    for (const [author, counted] of counts.authors) {
      this.authors.set(author, counted);
      this.#dirty.add(author);
    }
    this.isCounted = true;
  }

  /** Reads a cell `wrote/AUTHOR`. */
  load(author: UserId, cell: Uint8Array): void {
    const fields = new CellReader(cell);
    const bytes = fields.number();
    this.authors.set(author, { bytes, through: fields.number() as Seq });
  }

  /** Derived cells of what changed since a flush last wrote them, minus what is about to be erased; null clears. */
  derivedCells(erased = NOBODY): [string, Uint8Array | null][] {
    if (!this.isCounted) return [];
    return [...new Set([...this.#dirty, ...erased.keys()])].map((author) => {
      const counted = this.authors.get(author);
      const bytes = (counted?.bytes ?? 0) - (erased.get(author) ?? 0);
      return [`wrote/${author}`, counted === undefined ? null : encodeCell(Math.max(0, bytes), counted.through)];
    });
  }

  /** For `markDirty`. */
  get dirty(): ReadonlySet<UserId> {
    return this.#dirty;
  }

  markDirty(authors: Iterable<UserId>): void {
    for (const author of authors) this.#dirty.add(author);
  }

  /** A flush has written the derived cells. */
  cellsWritten(): void {
    this.#dirty = new Set();
  }

  #add(seq: Seq, author: UserId, bytes: number): boolean {
    let counted = this.authors.get(author);
    if (counted === undefined) this.authors.set(author, (counted = { bytes: 0, through: 0 as Seq }));
    if (seq <= counted.through) return false;
    counted.bytes += bytes;
    counted.through = seq;
    return true;
  }
}
