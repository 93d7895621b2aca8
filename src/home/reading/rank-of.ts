/** A run of erased entries is passed over so far. */
const ERASED_MAX = 32;

/** Of an entry without a rank (it was erased, or is a membership) that of the next one before it; 0 where none is near. */
export function rankOf(seq: number, read: (seq: number) => number | undefined, cost: { looked: number }): number {
  for (let at = seq; at > Math.max(0, seq - ERASED_MAX); at--) {
    cost.looked++;
    const rank = read(at);
    if (rank !== undefined) return rank;
  }
  return 0;
}
