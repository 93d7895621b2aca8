/** What the HTTP edge is given by whoever listens. */

/** What the socket below knows about a request, handed to `fetch` with it. */
export type HttpEnv = { clientIp?: string };

export type LogLevel = "debug" | "info" | "warn" | "error";
export type HttpLog = (level: LogLevel, message: string, fields: Record<string, unknown>) => void;
