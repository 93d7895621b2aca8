/** Which items of layers are to be tombstones: ranges of entries, by stream. */
import type { EraseRange } from "../../types.ts";
import type { LoggedItem } from "./piece.ts";

export class ErasedRanges {
  readonly #ranges = new Map<string, EraseRange[]>();

  get isEmpty(): boolean {
    return this.#ranges.size === 0;
  }

  add(range: EraseRange): void {
    const known = this.#ranges.get(range.stream);
    if (known === undefined) this.#ranges.set(range.stream, [range]);
    else known.push(range);
  }

  /** Undefined for a stream in which nothing is erased. */
  of(stream: string): ((item: LoggedItem) => boolean) | undefined {
    const ranges = this.#ranges.get(stream);
    if (ranges === undefined) return undefined;
    return ({ seq, lane }) =>
      ranges.some(
        ({ fromSeq, toSeq, lane: wanted }) =>
          seq >= fromSeq && seq <= toSeq && (wanted === undefined || wanted === lane),
      );
  }
}
