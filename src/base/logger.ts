/** Log lines for operators: one JSON object a line, on stderr unless told otherwise. */
export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Record<string, unknown>;

export type Logger = {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
};

const ORDER: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

/** @param named replaces paths in errors by the names that people know */
export function createLogger(
  level: LogLevel,
  write: (line: string) => void,
  now: () => number,
  named: (text: string) => string = (text) => text,
): Logger {
  const at = (lineLevel: LogLevel) => (message: string, fields?: LogFields) => {
    if (ORDER[lineLevel] < ORDER[level]) return;
    write(
      `${JSON.stringify({ time: new Date(now()).toISOString(), level: lineLevel, message, ...printable(fields, named) })}\n`,
    );
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Errors have no enumerable fields, so their messages are printed. */
function printable(fields: LogFields | undefined, named: (text: string) => string): LogFields {
  if (fields === undefined) return {};
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? named(value.stack ?? value.message) : value,
    ]),
  );
}
