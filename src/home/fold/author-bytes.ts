/**
 * How many bytes of text each author has in a group's log: a part of the fold of that log (group.ts), from the
 * moment when somebody first asks for it (stored-counts.ts). Erased posts do not count.
 *
 * Invariants
 * - Nothing is counted, and no cell is written, before `set` was called or the cell `head` has said that the cells count.
 * - Each author's number says through which seq it counts. So a fold that goes through the same entries again, which
 *   begins where `head` says, adds none of them twice.
 */
import type { UserId } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";
import { CellReader, encodeCell } from "../state/cells.ts";

/** `through`: seq of the newest post that is counted. */
type Counted = { bytes: number; through: Seq };

const NOBODY: ReadonlyMap<UserId, number> = new Map();

export class AuthorBytes {
  /** Whether the numbers are true. The cells of a log that somebody has written to without counting are not. */
  isCounted: boolean;
  readonly authors = new Map<UserId, Counted>();
  /** Authors whose number has changed since the derived cells were last taken. */
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

  /** Posts are erased. @param bytes of each author that went */
  erased(bytes: ReadonlyMap<UserId, number>): void {
    for (const [author, gone] of bytes) {
      const counted = this.authors.get(author);
      if (counted === undefined) continue;
      counted.bytes -= gone;
      this.#dirty.add(author);
    }
  }

  /** Takes the numbers of `counts`, which went through all of the log up to now, in the place of its own. */
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

  /** Takes a cell `wrote/AUTHOR`. */
  load(author: UserId, cell: Uint8Array): void {
    const fields = new CellReader(cell);
    const bytes = fields.number();
    this.authors.set(author, { bytes, through: fields.number() as Seq });
  }

  /** Derived cells of what has changed since a flush last took them, less what is about to be erased; null clears. */
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

  /** A flush has taken the derived cells. */
  cellsTaken(): void {
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
