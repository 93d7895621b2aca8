/**
 * A part of the storage suite. It is measured in its own process, so that no part inherits another's heap, compiled
 * code or open files. Its arguments and results are plain data.
 */
export type PartContext = {
  /** Empty, or left by an earlier part on purpose. It is on the measured file system. */
  directory: string;
  /** Call it first with 0, so that the name of the part is shown. */
  progress(done: number, total: number): void;
};

export type Part<Parameters, Figures> = (parameters: Parameters, context: PartContext) => Promise<Figures>;

/** One line on the stdout of a part's process. */
export type PartLine = { progress: [done: number, total: number] } | { figures: unknown };
