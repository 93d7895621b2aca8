/**
 * Bytes of text that a user has in groups, as the user's home knows them: for each group what its shard said last, and what was posted since. In memory, from the moment when
 * somebody asks for it (stored-counts.ts).
 *
 * What a group's shard says is true as of a seq of its log. So it may come late, twice or never: what is older than what is known is ignored, and no post counts twice. A
 * number that is lost leaves the one before, until the groups are asked again.
 */
import type { GroupAddress } from "../../domain/address.ts";
import type { Seq } from "../../../storage/types.ts";

const NOTHING = 0 as Seq;

type Post = { readonly seq: Seq; readonly bytes: number };

class InGroup {
  /** What the group's shard said, as of `through`. */
  told = 0;
  through = NOTHING;
  /** Posted behind it: bytes of all up to `last`, and further ones one by one while the group is being asked. */
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

  /** @returns false when nobody knows which of the posts here it counts already */
  take(bytes: number, through: Seq): boolean {
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
  /** Every group that the user was ever in has been asked. */
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

  /** @param told undefined when there is no answer */
  answered(group: GroupAddress, told: { readonly bytes: number; readonly through: Seq } | undefined): void {
    this.#change(group, (inGroup) => {
      if (told !== undefined) inGroup.take(told.bytes, told.through);
      inGroup.endAsking();
    });
  }

  /** The group's shard says how many bytes there are as of `through`. @returns false when the group has to be asked, since it is not known what was posted behind that */
  told(group: GroupAddress, bytes: number, through: Seq): boolean {
    return this.#change(group, (inGroup) => inGroup.take(bytes, through));
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
