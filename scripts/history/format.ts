/**
 * A history: what clients sent and got, as lines of JSON (docs/checking.md). The first line is the header, the last one
 * is `end`. In between, the lines of each client are in the order in which that client sent and got things.
 */
import type { Method } from "../../src/client/http-request.ts";

export const HISTORY_FORMAT = 1;

export type Header = {
  history: typeof HISTORY_FORMAT;
  /**
   * `total`: one process wrote every line when it happened, so a line stands behind everything that it could depend on.
   * `clients`: only the lines of one client are in order.
   */
  order: "total" | "clients";
  /** Everything that these users ever sent is in it. */
  isComplete: boolean;
  seed?: number | string;
  parameters?: Record<string, unknown>;
};

export type Client = { user: string; device: string };

/** Milliseconds since the recording began, by a monotonic clock. */
type Timed = { at?: number };

/** `c` is the number of a connection, which is never used again. */
export type OpenLine = Timed & { is: "open"; c: number; node?: string } & Client;
/** A frame of the protocol, or the text itself where it is no JSON object. */
export type FrameLine = Timed & { is: "out" | "in"; c: number; frame: WireFrame | string };
export type CloseLine = Timed & { is: "close"; c: number; code: number; reason?: string };
/** `call` is the number of a call, which is never used again. */
export type CallLine = Timed & { is: "call"; call: number; node?: string } & Client & {
    method: Method;
    path: string;
    body?: unknown;
  };
export type AnswerLine = Timed & { is: "answer"; call: number; status: number; body?: unknown };
/** No answer came, or only a part of it: nobody knows what became of the call. */
export type LostLine = Timed & { is: "lost"; call: number };
/** `settled`: all clients are connected, every send has its answer, and nothing is under way. */
export type EndLine = Timed & { is: "end"; settled: boolean };

export type HistoryLine = OpenLine | FrameLine | CloseLine | CallLine | AnswerLine | LostLine | EndLine;

/** A frame as it came: a server with an error may send anything. */
export type WireFrame = { t?: unknown; [field: string]: unknown };
