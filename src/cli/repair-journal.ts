/** A file beside a data directory: a repair is changing names there (repair-swap.ts). */
import { existsSync } from "node:fs";

export const journalPath = (directory: string): string => `${directory}.repair-swap`;

/** Whether the directory is missing because a repair in place was killed. Then an empty one must not be made. */
export const hasUnfinishedSwap = (directory: string): boolean =>
  !existsSync(directory) && existsSync(journalPath(directory));
