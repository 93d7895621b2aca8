/** What a command may touch of the outside: tests pass their own. */
export type Io = {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  env: Record<string, string | undefined>;
  /** Of the terminal that stdout is. */
  columns?: number | undefined;
  /** Whether a person reads stderr. */
  isStderrTerminal?: boolean;
  /** What one types to run this program, where it is not `parley`. */
  program?: string;
};

export const programOf = ({ program }: Pick<Io, "program">): string => program ?? "parley";
