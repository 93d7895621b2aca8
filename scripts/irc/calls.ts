/**
 * HTTP calls that survive a restart of the server: repeated while it is down or asks to wait, until the whole import
 * gives up.
 */
import { ParleyError } from "../../src/client/errors.ts";
import { withRetries, type Server } from "../../src/client/http.ts";

const CALL_MS = 30_000;
const DOWN_WAIT_MS = 250;

export type Calls = {
  /** `request` must be repeatable. Resolves with the first answer that waiting would not change. */
  call<T>(as: { token?: string; apiKey?: string }, request: (server: Server) => Promise<T>): Promise<T>;
};

export type CallEvents = {
  answered: () => void;
  /** Called when a try got no answer. */
  failed: () => void;
};

export function startCalls(url: string, signal: AbortSignal, events: CallEvents): Calls {
  return {
    async call(as, request) {
      const attempt = async () => {
        signal.throwIfAborted();
        const timeout = new AbortController();
        const timer = setTimeout(() => timeout.abort(), CALL_MS);
        return request({ url, ...as, signal: timeout.signal })
          .catch((error: unknown) => {
            if (error instanceof ParleyError && error.status === 0) events.failed();
            throw error;
          })
          .finally(() => clearTimeout(timer));
      };
      const answer = await withRetries(attempt, { attempts: Number.POSITIVE_INFINITY, waitMsDefault: DOWN_WAIT_MS });
      events.answered();
      return answer;
    },
  };
}
