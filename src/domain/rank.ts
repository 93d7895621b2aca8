/**
 * The rank of an entry: it rises from one entry to the next over all logs of a node (src/home/ranks.ts).
 *
 *     rank     Unix ms × 256 + count
 */
export const RANKS_PER_MS = 256;

/** The rank when the clock alone decides. Such a rank is not stored beside the time. */
export const rankOfTime = (unixMs: number): number => unixMs * RANKS_PER_MS;

/** A cell stores a rank in two fields. The second is usually 0, which takes no space. */
export function partsOfRank(rank: number): { ms: number; count: number } {
  const count = rank % RANKS_PER_MS;
  return { ms: (rank - count) / RANKS_PER_MS, count };
}
