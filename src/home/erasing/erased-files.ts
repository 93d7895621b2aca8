/**
 * Whether files of this node, those of the log included, may still have entries that were erased. One for all shards of a node, since what takes entries out goes over all of
 * them (`LogStore.eraseNow`). A request to erase is finished when all nodes say no (erase-user.ts).
 *
 * What a start finds in the log may have been erased and not taken out: nobody has looked. That counts when somebody asks.
 */
/** With more of them reading goes slow. */
export const RANGES_MAX = 4000;

export class ErasedFiles {
  readonly #isPending: () => boolean;
  /** Files are to be rid of it now: somebody waits for that, or so much has gathered that reads are slow. */
  onWanted: () => void = () => {};
  #isUnknown = false;
  #erased = 0;
  /** Erased since somebody was last told of them. */
  #ranges = 0;
  /** What `#erased` was when files were last rid of all that. */
  #emptied = 0;

  /** @param isPending whether files are known to have some */
  constructor(isPending: () => boolean) {
    this.#isPending = isPending;
  }

  /** The log has records that no other file has, erasures among them perhaps. */
  recovered(): void {
    this.#isUnknown = true;
  }

  /** An erasure is durable. @param ranges of entries, that reads have to look through until they are out of the files */
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

  /** What is not known counts from now on. */
  assume(): void {
    if (this.#isUnknown) this.#erased++;
    this.#isUnknown = false;
  }

  /** @returns whether there is none. Whoever empties files is told when there may be some. */
  ask(): boolean {
    this.assume();
    if (this.mayHold) this.onWanted();
    return !this.mayHold;
  }

  /** @param empty takes out everything that was erased before it was called */
  async emptied(empty: () => Promise<void>): Promise<void> {
    const erased = this.#erased;
    this.#ranges = 0;
    await empty();
    this.#emptied = erased;
    this.#isUnknown = false;
  }
}
