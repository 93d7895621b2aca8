import type { GroupFrame, MembershipFrame, ReceiptFrame } from "../protocol/frames.ts";
import type { ParleyError } from "./errors.ts";

export type ClientState = "idle" | "connecting" | "live" | "offline" | "closed";

/** Runs the application's listener. What it throws is its own bug, and shown as such: it must not stop the frames behind it. */
export function tell(onEvent: (event: ClientEvent) => void, event: ClientEvent): void {
  try {
    onEvent(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** What the application hears besides messages. Events of one stream come in the order of its entries, between its messages. */
export type ClientEvent =
  | { type: "connecting" }
  /** Everything missed has been handed over; from here on things arrive as they happen. */
  | { type: "live"; transport: "socket" | "poll" }
  | { type: "offline"; reason: string; retryInMs: number }
  | { type: "receipt"; receipt: ReceiptFrame }
  | { type: "membership"; membership: MembershipFrame }
  | { type: "group"; group: GroupFrame }
  /** The server's history of the timeline (or of `conversation`) was rebuilt: drop what is stored of it and load it again. */
  | { type: "reset"; conversation?: string }
  /** Informational: much was missed, and the client is paging it. It is handed over as usual. */
  | { type: "gap"; conversation?: string; from: number; to: number }
  /** The server could not produce these entries although it named them; the client went on behind them. */
  | { type: "lost"; conversation?: string; from: number; to: number }
  | { type: "error"; error: ParleyError }
  /** The end: by `close()`, or because the server said not to come back (then `error` came before). */
  | { type: "closed" };
