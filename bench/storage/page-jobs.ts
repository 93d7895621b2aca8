/**
 * Flush jobs that make a shard with many segments: a quiet conversation among busy ones, and a user with hundreds of
 * conversations.
 */
import { writeTaken, payloadBytesMax } from "../../src/domain/entries.ts";
import { ByteWriter } from "../../storage/encoding/byte-writer.ts";
import { beginEntry, beginRecord, endEntry, endRecord } from "../../storage/encoding/record.ts";
import type { FlushJob } from "../../storage/files/segment-store.ts";
import type { Offset, Seq, ShardId, Term } from "../../storage/types.ts";
import { seededRandom } from "./measure.ts";

export const PAGE_USER = "@quiet-user";
/** A lane with one entry in every flush, so that it is spread over all segments. */
export const SPREAD_LANE = "@spread";
/** A lane with some pages in one flush, then nothing more. */
export const TOGETHER_LANE = "@together";
export const RESUME_USER = "@busy-user";
const NOISE_USER = "@noisy-user";
const LIVELY_LANES = 20;
const OTHER_USERS = 3;
const BEGAN_AT = 1_763_740_800_000;

export type PageJobOptions = {
  lines: string[];
  lanes: number;
  entriesOfResumeUser: number;
  entriesOfOthers: number;
  /** Entries of one other lane: enough that each flush fills a block. */
  entriesOfNoise: number;
};

export class PageJobs {
  readonly shard: ShardId;
  readonly #options: PageJobOptions;
  readonly #random: () => number;
  readonly #heads = new Map<string, number>();
  #offset = 0;
  #line = 0;

  constructor(shard: number, options: PageJobOptions) {
    this.shard = shard as ShardId;
    this.#options = options;
    this.#random = seededRandom(shard + 1);
  }

  /** The next flush, with `together` entries of `TOGETHER_LANE`. */
  next(together: number): FlushJob {
    const { lanes, entriesOfResumeUser, entriesOfOthers, entriesOfNoise } = this.#options;
    const out = new ByteWriter(Buffer.allocUnsafeSlow(64 * 1024));
    this.#entry(out, PAGE_USER, SPREAD_LANE);
    for (let i = 0; i < together; i++) this.#entry(out, PAGE_USER, TOGETHER_LANE);
    for (let i = 0; i < entriesOfOthers; i++) {
      const user = this.#below(OTHER_USERS + 1);
      this.#entry(out, user === OTHER_USERS ? PAGE_USER : `@user${user}`, `@peer${this.#below(LIVELY_LANES)}`);
    }
    for (let i = 0; i < entriesOfResumeUser; i++) this.#entry(out, RESUME_USER, `@lane${this.#below(lanes)}`);
    for (let i = 0; i < entriesOfNoise; i++) this.#entry(out, NOISE_USER, "@noise");
    const streams = [...this.#heads].map(([name, headSeq], at) => ({
      name,
      streamNo: at + 1,
      headSeq: headSeq as Seq,
    }));
    const image = [new Uint8Array(out.bytes.subarray(0, out.pos))];
    const throughOffset = this.#offset as Offset;
    return { shard: this.shard, term: 1 as Term, throughOffset, image, checkpoint: new Uint8Array(0), streams };
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  #entry(out: ByteWriter, stream: string, lane: string): void {
    const { lines } = this.#options;
    const seq = ((this.#heads.get(stream) ?? 0) + 1) as Seq;
    this.#heads.set(stream, seq);
    const text = lines[this.#line++ % lines.length]!;
    const at = beginRecord(out, this.shard, 1 as Term, ++this.#offset as Offset);
    const payloadAt = beginEntry(out, stream, lane, "", seq, payloadBytesMax(text));
    writeTaken(out, BEGAN_AT + this.#offset * 137, seq, 1, seq, text);
    endEntry(out, payloadAt);
    endRecord(out, at);
  }
}
