/**
 * Whether files of this node, including the log, may still have erased entries. One per node, since `LogStore.eraseNow`
 * empties the files of all shards at once. A request to erase is finished when all nodes say no (erase-user.ts).
 *
 * After a start it is unknown whether records in the log were erased and are still in files. The question counts as yes
 * as soon as a request asks.
 */
/** More ranges than this make reads slow. */
export const RANGES_MAX = 4000;

export class ErasedFiles {
  readonly #isPending: () => boolean;
  /**
   * Called when files are to be emptied now: a request waits for it, or so many ranges have gathered that reads are
   * slow.
   */
  onWanted: () => void = () => {};
  #isUnknown = false;
  #erased = 0;
  /** Ranges erased since `onWanted` was last called for their number. */
  #ranges = 0;
  /** `#erased` when files were last emptied. */
  #emptied = 0;

  /** @param isPending whether files are known to have erased entries */
  constructor(isPending: () => boolean) {
    this.#isPending = isPending;
  }

  /** The log has records that are in no other file; erasures may be among them. */
  recovered(): void {
    this.#isUnknown = true;
  }

  /** An erasure is durable. @param ranges of entries; reads look through them until they are out of the files */
  erased(ranges: number): void {
    this.#erased++;
    this.#ranges += ranges;
    if (this.#ranges <= RANGES_MAX) return;
    this.#ranges = 0;
    this.onWanted();
  }

  /** As far as is known. */
  get mayHold(): boolean {
    return this.#erased > this.#emptied || this.#isPending();
  }

  /** From now on the unknown counts as erased. */
  assume(): void {
    if (this.#isUnknown) this.#erased++;
    this.#isUnknown = false;
  }

  /** @returns whether no file has erased entries. If one may, `onWanted` is called. */
  ask(): boolean {
    this.assume();
    if (this.mayHold) this.onWanted();
    return !this.mayHold;
  }

  /** @param empty removes everything from files that was erased before the call */
  async emptied(empty: () => Promise<void>): Promise<void> {
    const erased = this.#erased;
    this.#ranges = 0;
    await empty();
    this.#emptied = erased;
    this.#isUnknown = false;
  }
}
