/**
 * Bytes that wait in all sockets of the node, in both directions: what clients sent that is not acted on yet, and what
 * they have not read.
 *
 * Each socket has its own bounds. The bounds here are per user and per node. Beyond a bound, the socket that holds the
 * most is ended: of that user, or of the user who holds the most. A closed socket counts until the kernel has let it
 * go.
 */
import type { UserShare } from "./user-shares.ts";

export type WaitingBounds = { perUserBytes: number; perNodeBytes: number };

export type Holder = {
  /** Undefined before `hello`. */
  readonly share: UserShare | undefined;
  /** Kept by `WaitingBytes`. */
  heldBytes: number;
  /** Ends the connection at once, and with it what it holds. */
  release(): void;
};

export class WaitingBytes {
  readonly #bounds: WaitingBounds;
  readonly #holders = new Set<Holder>();
  #total = 0;

  constructor(bounds: WaitingBounds) {
    this.#bounds = bounds;
  }

  get total(): number {
    return this.#total;
  }

  /** `holder` holds so many bytes now. Most sockets never hold any and are not in the set. */
  set(holder: Holder, bytes: number): void {
    const change = bytes - holder.heldBytes;
    if (change === 0) return;
    holder.heldBytes = bytes;
    this.#total += change;
    if (holder.share !== undefined) holder.share.waitingBytes += change;
    if (bytes === 0) this.#holders.delete(holder);
    else this.#holders.add(holder);
    if (change > 0) this.#bound(holder);
  }

  #bound(holder: Holder): void {
    const { share } = holder;
    if (share !== undefined) this.#releaseUntil(share, () => share.waitingBytes <= this.#bounds.perUserBytes);
    while (this.#total > this.#bounds.perNodeBytes) {
      const most = this.#shareWithMost();
      const before = this.#total;
      this.#releaseUntil(most, () => this.#total < before);
      if (this.#total >= before) return;
    }
  }

  #releaseUntil(share: UserShare | undefined, isEnough: () => boolean): void {
    while (!isEnough()) {
      const largest = this.#largestOf(share);
      if (largest === undefined) return;
      this.set(largest, 0);
      largest.release();
    }
  }

  #largestOf(share: UserShare | undefined): Holder | undefined {
    let largest: Holder | undefined;
    for (const holder of this.#holders)
      if (holder.share === share && (largest === undefined || holder.heldBytes > largest.heldBytes)) largest = holder;
    return largest;
  }

  /** Sockets before `hello` have no share: each counts by itself. */
  #shareWithMost(): UserShare | undefined {
    let most: UserShare | undefined;
    let bytes = 0;
    for (const { share, heldBytes } of this.#holders) {
      const held = share === undefined ? heldBytes : share.waitingBytes;
      if (held > bytes) {
        bytes = held;
        most = share;
      }
    }
    return most;
  }
}
