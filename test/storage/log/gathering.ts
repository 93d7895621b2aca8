/** Records between `push` and the next write, as any log has to keep them; for the second log of the tests. */
import type { Appender, Commit } from "../../../storage/log/commit-log.ts";
import { ByteWriter } from "../../../storage/encoding/byte-writer.ts";
import type { ShardId } from "../../../storage/types.ts";

export class Gathering implements Appender {
  readonly out = new ByteWriter(Buffer.alloc(1 << 10));
  readonly #mayOpen: (shard: ShardId) => void;
  readonly #onPush: () => void;
  #commits: Commit[] = [];
  #end = 0;
  #isOpen = false;

  /** @param mayOpen throws when the shard is fenced */
  constructor(mayOpen: (shard: ShardId) => void, onPush: () => void) {
    this.#mayOpen = mayOpen;
    this.#onPush = onPush;
  }

  get bytes(): number {
    return this.#end;
  }

  open(shard: ShardId): number {
    if (this.#isOpen) throw new Error("assertion failed: a record is begun inside of another");
    this.#mayOpen(shard);
    this.#isOpen = true;
    return (this.out.pos = this.#end);
  }

  cancel(): void {
    this.#isOpen = false;
    this.out.pos = this.#end;
  }

  push(commit: Commit): void {
    this.#isOpen = false;
    this.#end = this.out.pos;
    this.#commits.push(commit);
    this.#onPush();
  }

  get savepoint(): number {
    return this.#commits.length;
  }

  rollBack(savepoint: number): void {
    if (this.#isOpen) throw new Error("assertion failed: a record is being encoded, and others are taken back");
    const first = this.#commits[savepoint];
    if (first === undefined) return;
    for (const commit of this.#commits.splice(savepoint).reverse()) commit.withdraw();
    this.#end = this.out.pos = first.start;
  }

  /** Takes out those of one shard; what is left keeps its places. */
  takeOut(shard: ShardId): Commit[] {
    const taken = this.#commits.filter((commit) => commit.shard === shard);
    this.#commits = this.#commits.filter((commit) => commit.shard !== shard);
    return taken;
  }

  /** All of them, with a buffer that has their bytes. */
  close(): { commits: Commit[]; bytes: Buffer } {
    const closed = { commits: this.#commits, bytes: Buffer.from(this.out.bytes.subarray(0, this.#end)) };
    this.#commits = [];
    this.#end = this.out.pos = 0;
    return closed;
  }
}
