/** The most erased entries in a row that are passed over. */
const ERASED_MAX = 32;

/**
 * The rank of an entry. An erased entry or a membership has none: then the rank of the next entry before it; 0 if none
 * is near.
 */
export function rankOf(seq: number, read: (seq: number) => number | undefined, cost: { looked: number }): number {
  for (let at = seq; at > Math.max(0, seq - ERASED_MAX); at--) {
    cost.looked++;
    const rank = read(at);
    if (rank !== undefined) return rank;
  }
  return 0;
}
