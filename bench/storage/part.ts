/**
 * A part of the storage suite: measured in a process of its own, so that no part inherits another's heap, compiled code or open files.
 * What a part gets and gives is plain data.
 */
export type PartContext = {
  /** Empty or left by an earlier part on purpose; on the file system under measurement. */
  directory: string;
  /** First with 0, so that its name is shown while it works. */
  progress(done: number, total: number): void;
};

export type Part<Parameters, Figures> = (parameters: Parameters, context: PartContext) => Promise<Figures>;

/** One line on the stdout of a part's process. */
export type PartLine = { progress: [done: number, total: number] } | { figures: unknown };
