/**
 * The rank of an entry: it rises from one entry to the next over all logs of a node (src/home/ranks.ts).
 *
 *     rank     Unix ms × 256 + count
 */
export const RANKS_PER_MS = 256;

/** What a rank is where the clock alone decides: such a rank need not be stored beside the time. */
export const rankOfTime = (unixMs: number): number => unixMs * RANKS_PER_MS;

/** A cell has it in two fields, of which the second is as a rule 0 and then takes no room. */
export function partsOfRank(rank: number): { ms: number; count: number } {
  const count = rank % RANKS_PER_MS;
  return { ms: (rank - count) / RANKS_PER_MS, count };
}
