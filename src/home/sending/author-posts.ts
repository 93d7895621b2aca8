/**
 * The posts of one author that have arrived at a group since the group's shard loaded it.
 *
 * A post may arrive twice, late, or before the one that its author sent before it. So each post has a number, which
 * rises within one life of its author's shard, and the number of the post before it, if the fate of that one is not
 * known yet.
 */
import type { Life, Post, PostReply } from "../messages/post.ts";

const LOOKED_FOR_MAX = 256;
/** Posts of one author that wait for an earlier one. Those beyond it are sent again by the author's shard. */
export const EARLY_MAX = 128;

type Early = { readonly post: Post; readonly reply: PostReply };

export class AuthorPosts {
  /** The newest life of the posts that arrived, and the highest number in it. */
  #newest: Life | undefined;
  #highest = 0;
  /** The last post that arrived. */
  #life = 0;
  #no = 0;
  readonly #lookedFor = new Set<number>();

  /** By the number of the post that they wait for. */
  #early: Map<number, Early> | undefined;

  get isEmpty(): boolean {
    return this.#newest === undefined;
  }

  /** The post has overtaken the one before it: it waits for that one. */
  hold(post: Post, reply: PostReply): void {
    this.#early ??= new Map();
    if (this.#early.size < EARLY_MAX || this.#early.has(post.prev)) this.#early.set(post.prev, { post, reply });
  }

  /** The post that waited for this one, if there is one. */
  releasedBy({ no, life }: Post): Early | undefined {
    const early = this.#early?.get(no);
    if (early === undefined) return undefined;
    this.#early!.delete(no);
    if (this.#early!.size === 0) this.#early = undefined;
    return early.post.life.id === life.id ? early : undefined;
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
