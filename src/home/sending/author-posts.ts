/**
 * The posts of one author that have arrived at a group since the group's shard loaded it.
 *
 * A post may arrive twice, late, or before the one that its author sent before it. So each post has a number, which
 * rises within one life of its author's shard, and the number of the post before it, if the fate of that one is not
 * known yet.
 */
import type { Life, Post } from "../messages/post.ts";

const LOOKED_FOR_MAX = 256;

export class AuthorPosts {
  /** The newest life of the posts that arrived, and the highest number in it. */
  #newest: Life | undefined;
  #highest = 0;
  /** The last post that arrived. */
  #life = 0;
  #no = 0;
  readonly #lookedFor = new Set<number>();

  get isEmpty(): boolean {
    return this.#newest === undefined;
  }

  /**
   * Whether the post is certain to be new, so that it need not be looked up. The author's shard made it after it had
   * heard of the group's present life in memory: so every earlier arrival of it was counted here.
   * @param ofGroup its life in memory
   */
  isNew({ mayRepeat, life, no, groupLife }: Post, ofGroup: number): boolean {
    if (mayRepeat || groupLife !== ofGroup) return false;
    return this.#newest === undefined || (this.#newest.id === life.id && no > this.#highest);
  }

  /** Whether no post of the same author can be missing before it. */
  follows({ prev, life }: Post): boolean {
    return prev === 0 || (this.#life === life.id && this.#no === prev);
  }

  /** The post was looked up, and is new. */
  tookAsNew({ no }: Post): void {
    if (this.#lookedFor.size >= LOOKED_FOR_MAX) this.#lookedFor.clear();
    this.#lookedFor.add(no);
  }

  /** Whether the post was new when it first arrived in this life, as far as that is remembered. */
  wasNew({ life, no }: Post): boolean {
    return this.#life === life.id && this.#lookedFor.has(no);
  }

  /** The post is in the group's log, or on its way there. */
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
