/** The file beside a data directory that says that a repair is changing names there (repair-swap.ts). */
import { existsSync } from "node:fs";

export const journalPath = (directory: string): string => `${directory}.repair-swap`;

/** Whether the directory is missing since a repair in place was killed: an empty one must not be made in its place. */
export const hasUnfinishedSwap = (directory: string): boolean =>
  !existsSync(directory) && existsSync(journalPath(directory));
