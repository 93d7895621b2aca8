import type { GroupFrame, MembershipFrame, ReceiptFrame } from "../protocol/frames.ts";
import type { ParleyError } from "./errors.ts";

export type ClientState = "idle" | "connecting" | "live" | "offline" | "closed";

/**
 * Calls the application's listener. An error in it is the application's bug and is reported as such; it must not stop
 * later frames.
 */
export function tell(onEvent: (event: ClientEvent) => void, event: ClientEvent): void {
  try {
    onEvent(event);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/**
 * Events for the application besides messages. Events of a stream come in the order of its entries, between its
 * messages.
 */
export type ClientEvent =
  | { type: "connecting" }
  /** Everything missed has been handed over. From here on messages arrive as they are sent. */
  | { type: "live"; transport: "socket" | "poll" }
  | { type: "offline"; reason: string; retryInMs: number }
  | { type: "receipt"; receipt: ReceiptFrame }
  | { type: "membership"; membership: MembershipFrame }
  | { type: "group"; group: GroupFrame }
  /**
   * The server's history of the timeline (or of `conversation`) was rebuilt: drop what is stored of it and load it
   * again.
   */
  | { type: "reset"; conversation?: string }
  /** Informational: much was missed, and the client pages it. It is handed over as usual. */
  | { type: "gap"; conversation?: string; from: number; to: number }
  /** The server named these entries but could not send them; the client continued after them. */
  | { type: "lost"; conversation?: string; from: number; to: number }
  | { type: "error"; error: ParleyError }
  /** The end: by `close()`, or because the server forbids reconnecting (then `error` came before). */
  | { type: "closed" };
