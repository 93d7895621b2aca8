/**
 * Bytes that wait in sockets, in and out, over the whole node: what clients sent that is not acted on yet, and what they have not read.
 *
 * Each socket has bounds of its own. Here are those of a user and of the node: beyond one of them the socket that holds most goes, of the user in
 * question or of the user who holds most. A socket that was closed counts until the kernel has let its connection go.
 */
import type { UserShare } from "./user-shares.ts";

export type WaitingBounds = { perUserBytes: number; perNodeBytes: number };

export type Holder = {
  /** Undefined before `hello`. */
  readonly share: UserShare | undefined;
  /** Kept by `WaitingBytes`. */
  heldBytes: number;
  /** Gives back what it holds, at once: the connection ends. */
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

  /** `holder` holds so many bytes now. Most sockets hold none, ever, and are not known here. */
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

  /** Of strangers (undefined) every socket counts by itself: they are nobody's together. */
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
