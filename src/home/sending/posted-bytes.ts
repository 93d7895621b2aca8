/**
 * Bytes of text that a user has in groups, as the user's home knows them: for each group the number that its shard told
 * last, and the posts since. In memory, from the first time that it is asked for (stored-counts.ts).
 *
 * A number of a group's shard is true as of a seq of its log. So it may come late, twice or never: older numbers are
 * ignored, and no post counts twice. If a number is lost, the one before stays until the groups are asked again.
 */
import type { GroupAddress } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

const NOTHING = 0 as Seq;

type Post = { readonly seq: Seq; readonly bytes: number };

class InGroup {
  /** The number of the group's shard, as of `through`. */
  told = 0;
  through = NOTHING;
  /** Posts behind it: bytes of all posts through `last`; while the group is being asked, later posts one by one. */
  since = 0;
  last = NOTHING;
  asked: Post[] | undefined;

  get bytes(): number {
    return this.told + this.since + sumOf(this.asked);
  }

  add(post: Post): void {
    if (this.asked !== undefined) return void this.asked.push(post);
    this.since += post.bytes;
    if (post.seq > this.last) this.last = post.seq;
  }

  /** @returns false if it is unknown which of the posts here the number includes */
  update(bytes: number, through: Seq): boolean {
    if (through < this.through) return true;
    if (through === this.through) this.told = Math.min(this.told, bytes);
    else if (this.last > through) return false;
    else {
      this.told = bytes;
      this.through = through;
      this.since = 0;
      this.asked &&= this.asked.filter(({ seq }) => seq > through);
    }
    return true;
  }

  endAsking(): void {
    const posts = this.asked ?? [];
    this.asked = undefined;
    for (const post of posts) this.add(post);
  }
}

export class PostedBytes {
  /** Whether every group that the user was ever in has been asked. */
  isCounted = false;
  #sum = 0;
  readonly #groups = new Map<GroupAddress, InGroup>();

  get sum(): number {
    return this.#sum;
  }

  has(group: GroupAddress): boolean {
    return this.#groups.has(group);
  }

  /** A post of the user is durable. @param bytes of its text */
  posted(group: GroupAddress, seq: Seq, bytes: number): void {
    this.#change(group, (inGroup) => {
      if (seq > inGroup.through) inGroup.add({ seq, bytes });
    });
  }

  /** The group's shard is about to be asked. */
  asking(group: GroupAddress): void {
    this.#change(group, (inGroup) => (inGroup.asked ??= []));
  }

  /** @param told undefined if there is no answer */
  answered(group: GroupAddress, told: { readonly bytes: number; readonly through: Seq } | undefined): void {
    this.#change(group, (inGroup) => {
      if (told !== undefined) inGroup.update(told.bytes, told.through);
      inGroup.endAsking();
    });
  }

  /**
   * The group's shard tells its number as of `through`. @returns false if the group has to be asked, since it is
   * unknown what was posted behind `through`
   */
  told(group: GroupAddress, bytes: number, through: Seq): boolean {
    return this.#change(group, (inGroup) => inGroup.update(bytes, through));
  }

  #change<Result>(group: GroupAddress, change: (inGroup: InGroup) => Result): Result {
    let inGroup = this.#groups.get(group);
    if (inGroup === undefined) this.#groups.set(group, (inGroup = new InGroup()));
    const before = inGroup.bytes;
    const result = change(inGroup);
    this.#sum += inGroup.bytes - before;
    return result;
  }
}

function sumOf(posts: readonly Post[] = []): number {
  let bytes = 0;
  for (const post of posts) bytes += post.bytes;
  return bytes;
}
