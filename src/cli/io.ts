/** A command's access to the outside. Tests pass their own. */
export type Io = {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
  env: Record<string, string | undefined>;
  /** Width of the terminal, if stdout is one. */
  columns?: number | undefined;
  /** Whether a person reads stderr. */
  isStderrTerminal?: boolean;
  /** The command that runs this program, if it is not `parley`. */
  program?: string;
};

export const programOf = ({ program }: Pick<Io, "program">): string => program ?? "parley";
