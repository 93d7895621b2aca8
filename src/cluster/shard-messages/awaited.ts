/**
 * Replies that this node waits for, by the id of the message and the link that it went over. A reply that does not come
 * in time is no longer waited for; nor are those of a link that has ended.
 */
import type { Link } from "../link/link.ts";

export type Awaited = {
  readonly link: Link;
  /** Monotonic. */
  readonly until: number;
  /** No reply comes. @param why for the caller */
  lost(why: "link" | "time"): void;
};

export class AwaitedReplies<Reply extends Awaited> {
  /** In the order in which they were sent. */
  readonly #awaited = new Map<number, Reply>();
  readonly #max: number;

  /** @param max how many are waited for */
  constructor(max: number) {
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#awaited.size >= this.#max;
  }

  get isEmpty(): boolean {
    return this.#awaited.size === 0;
  }

  add(id: number, reply: Reply): void {
    this.#awaited.set(id, reply);
  }

  /** Undefined if it is not waited for, or came over another link. */
  get(id: number, link: Link): Reply | undefined {
    const reply = this.#awaited.get(id);
    return reply?.link === link ? reply : undefined;
  }

  /** As `get`, and it is waited for no longer. */
  take(id: number, link: Link): Reply | undefined {
    const reply = this.get(id, link);
    if (reply !== undefined) this.#awaited.delete(id);
    return reply;
  }

  linkClosed(link: Link): void {
    for (const [id, reply] of this.#awaited) {
      if (reply.link !== link) continue;
      this.#awaited.delete(id);
      reply.lost("link");
    }
  }

  /** Gives up those whose time is over. All have waited for about as long, so the oldest come first. */
  expire(nowMs: number): void {
    for (const [id, reply] of this.#awaited) {
      if (reply.until > nowMs) return;
      this.#awaited.delete(id);
      reply.lost("time");
    }
  }
}
