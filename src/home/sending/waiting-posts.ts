/**
 * Posts of a shard's users without a reply of the groups' shards. The post or the reply may be lost: after a while the
 * post is sent again under the same ref, and after longer its author gets `unavailable`. One timer looks at all posts.
 */
import type { Clock } from "../../base/clock.ts";
import type { Life } from "../messages/post.ts";

const LOOK_EVERY_MS = 100;

export type WaitingPost = {
  readonly isSettled: boolean;
  /** Sends the post again, or gives it up, if it is time. */
  look(nowMs: number): void;
  giveUp(): void;
};

export class WaitingPosts {
  /** Of this object: numbers of its posts have no meaning in another one. */
  readonly life: Life;
  readonly #clock: Clock;
  #no = 0;
  /** Settled posts are removed at the next look. */
  #posts: WaitingPost[] = [];
  #cancel: (() => void) | undefined;
  #lookAtMs = 0;
  #isStopped = false;

  constructor(clock: Clock, life: Life) {
    this.#clock = clock;
    this.life = life;
  }

  nextNo(): number {
    return ++this.#no;
  }

  add(post: WaitingPost): void {
    this.#posts.push(post);
    if (this.#cancel === undefined && !this.#isStopped) this.#lookIn(LOOK_EVERY_MS);
  }

  /** One of the posts has to be sent again after this time. */
  lookSoon(ms: number): void {
    if (this.#isStopped || this.#lookAtMs <= this.#clock.monotonicMs() + ms) return;
    this.#cancel?.();
    this.#lookIn(ms);
  }

  /** Gives all posts up: no reply will be handled any more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    for (const post of this.#posts.splice(0)) if (!post.isSettled) post.giveUp();
  }

  #lookIn(ms: number): void {
    this.#lookAtMs = this.#clock.monotonicMs() + ms;
    this.#cancel = this.#clock.after(ms, () => {
      this.#cancel = undefined;
      const nowMs = this.#clock.monotonicMs();
      this.#posts = this.#posts.filter(({ isSettled }) => !isSettled);
      for (const post of this.#posts) if (!post.isSettled) post.look(nowMs);
      if (this.#posts.length > 0 && this.#cancel === undefined && !this.#isStopped) this.#lookIn(LOOK_EVERY_MS);
    });
  }
}
