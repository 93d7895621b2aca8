import type { ClientFrame, SentFrame, ServerFrame } from "../protocol/frames.ts";

/** One connection, of either kind. It is never reopened: after `closed` the next attempt is a new one. */
export type Transport = {
  readonly kind: "socket" | "poll";
  /** The first frame must be `hello`. Frames that a kind cannot carry are dropped, see `carriesMarks`. */
  send(frame: ClientFrame): void;
  /** Whether this kind can carry `read` and `received`. */
  readonly carriesMarks: boolean;
  /** Sends that may be in flight at once; undefined: as many as the application allows. */
  readonly window: number | undefined;
  /** Ends it; `closed` is not called afterwards. */
  close(): void;
};

export type TransportEvents = {
  /** Ready for `hello`. */
  opened(): void;
  frame(frame: ServerFrame): void;
  /** A send is durable. This ack is outside the order of entries: the entry itself arrives as a separate frame. */
  acked(sent: SentFrame): void;
  /** At most once, and nothing after it. */
  closed(code: number, reason: string): void;
};
