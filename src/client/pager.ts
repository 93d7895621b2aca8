/**
 * Pages the entries that a `gap` names. The next page is requested when the last one was handled, so a large gap needs
 * the memory of one page. It retries as long as the server might still answer. A final refusal ends the gap.
 */
import type { ServerFrame } from "../protocol/frames.ts";
import { Backoff } from "./backoff.ts";
import type { ClientClock } from "./clock.ts";
import type { PagedItem } from "./delivery.ts";
import { isTransient, ParleyError } from "./errors.ts";
import { entries, type Server } from "./http.ts";
import { streamOf, TIMELINE, type Entry } from "./positions.ts";

const PAGE_ENTRIES = 200;

export type PagerOptions = {
  server(): Server;
  clock: ClientClock;
  backoff(): Backoff;
  push(item: PagedItem): void;
};

export class Pager {
  readonly #options: PagerOptions;
  #generation = 0;

  constructor(options: PagerOptions) {
    this.#options = options;
  }

  /** Pages in flight are dropped. */
  stop(): void {
    this.#generation++;
  }

  fetch(stream: string, after: number): void {
    void this.#fetch(stream, after, this.#generation, this.#options.backoff());
  }

  async #fetch(stream: string, after: number, generation: number, backoff: Backoff): Promise<void> {
    const { server, clock, push } = this.#options;
    const query = { after, limit: PAGE_ENTRIES };
    try {
      const page = await entries(server(), stream === TIMELINE ? query : { ...query, conversation: stream });
      const items: PagedItem[] = page.frames
        .filter((frame) => isEntryOf(frame, stream))
        .map((frame) => ({ t: "paged", stream, frame }));
      items.push({ t: "pageEnd", stream, after: page.after, isLast: !page.more || page.after <= after });
      for (const item of items) {
        // An item can end the connection, and with it this page. Then the rest of the page must not look like the next
        // entries.
        if (generation !== this.#generation) return;
        push(item);
      }
    } catch (error) {
      if (generation !== this.#generation) return;
      if (isFinal(error)) return push({ t: "pageEnd", stream, after, isLast: true });
      const retryAfterMs = error instanceof ParleyError ? error.retryAfterMs : undefined;
      clock.after(backoff.nextMs(retryAfterMs), () => {
        if (generation === this.#generation) void this.#fetch(stream, after, generation, backoff);
      });
    }
  }
}

/**
 * The user may not read these entries, or they do not exist. An invalid token is left to the connection, which will
 * end.
 */
function isFinal(error: unknown): boolean {
  return (
    error instanceof ParleyError &&
    !isTransient(error.code) &&
    error.status >= 400 &&
    error.status < 500 &&
    error.status !== 401
  );
}

function isEntryOf(frame: ServerFrame, stream: string): frame is Entry {
  switch (frame.t) {
    case "message":
    case "sent":
    case "membership":
    case "group":
      return streamOf(frame) === stream;
    default:
      return false;
  }
}
