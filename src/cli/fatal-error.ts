/** What `parley` exits with. Scripts and supervisors rely on the numbers: add, never change. */
export const EXIT_STATUS = {
  ok: 0,
  failed: 1,
  usage: 2,
  portUnavailable: 10,
  dataUnwritable: 11,
  dataLocked: 12,
  diskFull: 13,
  formatTooNew: 14,
  corrupt: 15,
} as const;

export type ExitReason = Exclude<keyof typeof EXIT_STATUS, "ok">;

/** One line each for help. */
export const EXIT_MEANING: Record<keyof typeof EXIT_STATUS, string> = {
  ok: "done, or drained after SIGTERM or SIGINT",
  failed: "anything else; the line on stderr says what",
  usage: "a bad option, or a command that does not exist",
  portUnavailable: "the port is in use, or not allowed, or the host is not this machine's",
  dataUnwritable: "the data directory is not there, or cannot be made or written",
  dataLocked: "the data directory belongs to another running server",
  diskFull: "the disk is full",
  formatTooNew: "the data was written by a newer parley",
  corrupt: "the data is damaged",
};

/**
 * An environment error: nothing is wrong with the program, and it cannot go on. Shown as one line without a stack.
 * `message` is lower case and says the thing; `hint` says what to do.
 */
export class FatalError extends Error {
  readonly reason: ExitReason;
  readonly hint: string | undefined;

  constructor(reason: ExitReason, message: string, options: { hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "FatalError";
    this.reason = reason;
    this.hint = options.hint;
  }

  get exitStatus(): number {
    return EXIT_STATUS[this.reason];
  }

  /** The line for stderr. (Not `line`: the engine gives errors a number of that name.) */
  get report(): string {
    const text = this.hint === undefined ? this.message : `${this.message}; ${this.hint}`;
    return `parley: ${text.replaceAll(/\s*\n\s*/g, " ")}`;
  }
}
