/**
 * The posts of one author that have come to a group, as far as the group's shard remembers them: since it has loaded the group.
 *
 * A post may come twice, late, or before the one that its author sent before it. Each has a number, which rises in one life of its author's shard, and the number of the
 * one before it, where nothing is known of that yet.
 */
import type { Life, Post } from "../messages/post.ts";

const LOOKED_FOR_MAX = 256;

export class AuthorPosts {
  /** The newest life that a post was of, and the highest number in it. */
  #newest: Life | undefined;
  #highest = 0;
  /** The last post that came. */
  #life = 0;
  #no = 0;
  readonly #lookedFor = new Set<number>();

  get isEmpty(): boolean {
    return this.#newest === undefined;
  }

  /**
   * Whether it certainly was not here before, so that nobody has to look. Its author's shard made it after it had heard of the group as it is in memory now: whenever it
   * came, it was counted here.
   * @param ofGroup its life in memory
   */
  isNew({ mayRepeat, life, no, groupLife }: Post, ofGroup: number): boolean {
    if (mayRepeat || groupLife !== ofGroup) return false;
    return this.#newest === undefined || (this.#newest.id === life.id && no > this.#highest);
  }

  /** Whether nothing of the same author can be missing before it. */
  follows({ prev, life }: Post): boolean {
    return prev === 0 || (this.#life === life.id && this.#no === prev);
  }

  /** It was looked for, and is new. */
  tookAsNew({ no }: Post): void {
    if (this.#lookedFor.size >= LOOKED_FOR_MAX) this.#lookedFor.clear();
    this.#lookedFor.add(no);
  }

  /** Whether it is a message that was new when it first came in this life, as far as that is remembered. */
  wasNew({ life, no }: Post): boolean {
    return this.#life === life.id && this.#lookedFor.has(no);
  }

  /** It stands in the group's log, or is on its way there. */
  came({ life, no }: Post): void {
    if (this.#life !== life.id) this.#lookedFor.clear();
    if (this.#life !== life.id || this.#no < no) {
      this.#life = life.id;
      this.#no = no;
    }
    if (this.#newest?.id === life.id) this.#highest = Math.max(this.#highest, no);
    else if (this.#newest === undefined || life.rank > this.#newest.rank) {
      this.#newest = life;
      this.#highest = no;
    }
  }
}
