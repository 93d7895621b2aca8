/**
 * Whether files of this node, those of the log included, may still have entries that were erased. One for all shards of a node, since what takes entries out goes over all of
 * them (`LogStore.eraseNow`). A request to erase is finished when all nodes say no (erase-user.ts).
 *
 * What a start finds in the log may have been erased and not taken out: nobody has looked. That counts when somebody asks.
 */
export class ErasedFiles {
  readonly #isPending: () => boolean;
  /** Somebody waits until files are rid of it. */
  onWanted: () => void = () => {};
  #isUnknown = false;
  #erased = 0;
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

  /** An erasure is durable. */
  erased(): void {
    this.#erased++;
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
    await empty();
    this.#emptied = erased;
    this.#isUnknown = false;
  }
}
