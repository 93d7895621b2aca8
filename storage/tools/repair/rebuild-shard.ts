/**
 * Writes what was saved of a shard as a shard: it is flushed, as records with the offsets that its entries had, into
 * files that have nothing of it. So what comes of it is what the store itself makes.
 *
 * The caller has taken away what was there. Crash: the shard is there in part; the repair is begun anew on a fresh
 * copy.
 */
import { ByteWriter } from "../../encoding/byte-writer.ts";
import { beginEntry, beginRecord, endEntry, endRecord, writeCell, writeKey } from "../../encoding/record.ts";
import type { FlushJob, SegmentStore } from "../../files/segment-store.ts";
import type { Offset, Term } from "../../types.ts";
import { asSeq, type SavedEntry, type SavedKey, type ShardContents, type StreamContents } from "./shard-contents.ts";

const JOB_BYTES = 4 << 20;

type Step =
  | { kind: "entry"; offset: number; stream: StreamContents; seq: number; entry: SavedEntry }
  | { kind: "key"; offset: number; stream: StreamContents; key: string; hit: SavedKey };

/** @param onEntries called with how many entries were written */
export async function rebuildShard(
  store: SegmentStore,
  contents: ShardContents,
  onEntries: (count: number) => void = () => {},
): Promise<void> {
  const streams = contents.inOrder();
  if (streams.length === 0) return;
  contents.reached(1);
  const job = new JobWriter(contents, streams);
  for (const steps of byOffset(stepsOf(contents, streams))) {
    job.record(steps);
    if (job.bytes < JOB_BYTES) continue;
    await store.flush(job.finish());
    onEntries(job.takeCount());
  }
  await store.flush(job.last());
  onEntries(job.takeCount());
}

/** All that happened, by the offsets it had. Keys whose offset nobody knows go anywhere. */
function stepsOf(contents: ShardContents, streams: readonly StreamContents[]): Step[] {
  const steps: Step[] = [];
  for (const stream of streams) {
    for (const [seq, entry] of stream.entries) steps.push({ kind: "entry", offset: entry.offset, stream, seq, entry });
    for (const [key, hit] of stream.keys) {
      const offset = hit.offset > 0 ? hit.offset : 1 + (steps.length % contents.through);
      steps.push({ kind: "key", offset, stream, key, hit });
    }
  }
  const seqOf = (step: Step): number => (step.kind === "entry" ? step.seq : 0);
  return steps.sort((a, b) => a.offset - b.offset || a.stream.streamNo - b.stream.streamNo || seqOf(a) - seqOf(b));
}

function* byOffset(steps: readonly Step[]): Iterable<Step[]> {
  for (let from = 0; from < steps.length;) {
    let to = from + 1;
    while (to < steps.length && steps[to]!.offset === steps[from]!.offset) to++;
    yield steps.slice(from, to);
    from = to;
  }
}

class JobWriter {
  readonly #contents: ShardContents;
  readonly #streams: readonly StreamContents[];
  readonly #heads = new Map<StreamContents, number>();
  #touched: Set<StreamContents>;
  #out = new ByteWriter(Buffer.allocUnsafeSlow(JOB_BYTES));
  #offset = 0;
  #count = 0;

  constructor(contents: ShardContents, streams: readonly StreamContents[]) {
    this.#contents = contents;
    this.#streams = streams;
    // The first job names all, since their numbers have to come in order.
    this.#touched = new Set(streams);
  }

  get bytes(): number {
    return this.#out.pos;
  }

  takeCount(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }

  record(steps: readonly Step[]): void {
    const out = this.#out;
    this.#offset = steps[0]!.offset;
    const at = beginRecord(out, this.#contents.shard, this.#term, this.#offset as Offset);
    for (const step of steps) {
      this.#touched.add(step.stream);
      if (step.kind === "key") writeKey(out, step.stream.name, step.key, asSeq(step.hit.seq), step.hit.value);
      else this.#entry(step.stream, step.seq, step.entry);
    }
    endRecord(out, at);
  }

  /** What was written so far. */
  finish(): FlushJob {
    return this.#job(this.#offset, new ByteWriter(Buffer.alloc(0)));
  }

  /** The rest, and all cells. */
  last(): FlushJob {
    const cells = new ByteWriter(Buffer.allocUnsafeSlow(1 << 16));
    for (const stream of this.#streams) {
      for (const [key, value] of stream.cells) {
        if (value === null) continue;
        this.#touched.add(stream);
        writeCell(cells, stream.name, key, value);
      }
    }
    return this.#job(this.#contents.through, cells);
  }

  get #term(): Term {
    return (this.#contents.term || 1) as Term;
  }

  #entry(stream: StreamContents, seq: number, { lane, key, payload }: SavedEntry): void {
    const at = beginEntry(this.#out, stream.name, lane, key, asSeq(seq), payload.length);
    this.#out.raw(payload);
    endEntry(this.#out, at);
    this.#heads.set(stream, seq);
    this.#count++;
  }

  #job(through: number, cells: ByteWriter): FlushJob {
    const streams = [...this.#touched].map((stream) => {
      return { name: stream.name, streamNo: stream.streamNo, headSeq: asSeq(this.#heads.get(stream) ?? 0) };
    });
    const job: FlushJob = {
      shard: this.#contents.shard,
      term: this.#term,
      throughOffset: through as Offset,
      image: [new Uint8Array(this.#out.bytes.subarray(0, this.#out.pos))],
      checkpoint: new Uint8Array(cells.bytes.subarray(0, cells.pos)),
      streams,
    };
    this.#out.pos = 0;
    this.#touched = new Set();
    return job;
  }
}
