/**
 * Speed of the segment side by itself, one JSON line: `bun bench/storage-probe.ts`. Not the storage bench: no comparison, made-up text.
 * A cold page has its files closed and nothing unpacked; the system's page cache is warm.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beginEntry, beginRecord, ByteWriter, endEntry, endRecord } from "../storage/record.ts";
import { openSegmentStore } from "../storage/segment/segment-store.ts";
import type { FlushJob, SegmentStore } from "../storage/segment/types.ts";
import type { Offset, Seq, ShardId, Term } from "../storage/types.ts";

const WORDS =
  "the kernel module does not load after upgrade try dpkg reconfigure reboot then check your sound settings again".split(
    " ",
  );
const NEWEST = Number.MAX_SAFE_INTEGER as Seq;

/** Messages of one shard, numbered on from the last job. */
class Chat {
  readonly shard: ShardId;
  #offset = 0;
  readonly #heads = new Map<string, number>();

  constructor(shard: number) {
    this.shard = shard as ShardId;
  }

  job(count: number, users: number, quiet: number, lanes = 20): FlushJob {
    const out = new ByteWriter(Buffer.allocUnsafeSlow(64 * 1024));
    for (let i = 0; i < count; i++)
      this.#message(out, `@user${Math.floor(Math.random() * users)}`, `@peer${Math.floor(Math.random() * lanes)}`);
    for (let i = 0; i < quiet; i++) this.#message(out, "@user0", "@quiet");
    const names = [...this.#heads.keys()];
    const streams = names.map((name, streamNo) => ({ name, streamNo, headSeq: this.#heads.get(name)! as Seq }));
    const image = new Uint8Array(out.bytes.subarray(0, out.pos));
    const throughOffset = this.#offset as Offset;
    return { shard: this.shard, term: 1 as Term, throughOffset, image, checkpoint: new Uint8Array(0), streams };
  }

  #message(out: ByteWriter, stream: string, lane: string): void {
    const seq = (this.#heads.get(stream) ?? 0) + 1;
    this.#heads.set(stream, seq);
    const text = Array.from({ length: 11 }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" ");
    const payload = Buffer.from(JSON.stringify({ from: lane, text, sentAt: 1_763_740_800_000 + this.#offset * 137 }));
    const at = beginRecord(out, this.shard, 1 as Term, ++this.#offset as Offset);
    const payloadAt = beginEntry(out, stream, lane, seq % 2 === 0 ? `d7k2-${seq}` : "", seq as Seq, payload.length);
    out.raw(payload);
    endEntry(out, payloadAt);
    endRecord(out, at);
  }
}

function percentiles(samples: number[]): { p50: number; p99: number } {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number => Number(sorted[Math.floor((sorted.length - 1) * part)]!.toFixed(3));
  return { p50: at(0.5), p99: at(0.99) };
}

async function timed(run: () => unknown): Promise<number> {
  const from = performance.now();
  await run();
  return performance.now() - from;
}

async function flushSpeed(dir: string, streams: number): Promise<object> {
  const store = openSegmentStore({ dir });
  const chat = new Chat(1);
  const milliseconds: number[] = [];
  const cpu: number[] = [];
  let bytes = 0;
  for (let round = 0; round < 12; round++) {
    const job = chat.job(10_000, streams, 0);
    bytes = job.image.length;
    const before = process.cpuUsage();
    milliseconds.push(await timed(() => store.flush(job)));
    const { user, system } = process.cpuUsage(before);
    cpu.push((user + system) / 1000);
  }
  await store.close();
  const warm = percentiles(milliseconds.slice(2));
  const perSecond = (amount: number): number => Math.round((amount / warm.p50) * 1000);
  const speed = { entriesPerSecond: perSecond(10_000), mbPerSecond: perSecond(bytes) / 1e6 };
  return { streams, ms: warm, cpuMs: percentiles(cpu.slice(2)), ...speed };
}

/**
 * One shard has the segments, and in each of them one entry of a quiet conversation arrived; reads of other shards come between its pages and push its
 * files out of the two handles. Pages of 30 at every depth.
 */
async function coldPage(dir: string, segments: number): Promise<object> {
  const options = { dir, readHandlesMax: 2, cacheBytesMax: 0 };
  const filling = openSegmentStore({ ...options, segmentBytesMax: 1, runEntriesMin: 32 });
  const others = Array.from({ length: 3 }, (_, i) => new Chat(600 + i));
  const chat = new Chat(500);
  for (let i = 0; i < segments; i++) await filling.flush(chat.job(40, 1, 1, 40));
  for (const other of others) await filling.flush(other.job(40, 30, 1));
  await filling.close();
  const store = openSegmentStore(options);
  const samples: number[] = [];
  let before = NEWEST;
  for (let i = 0; i < 200; i++) {
    for (const other of others) store.readLaneBackward(other.shard, "@user0", "@quiet", NEWEST, 1);
    samples.push(await timed(() => (before = page(store, chat.shard, before))));
    if (before < 1200) before = NEWEST;
  }
  await store.close();
  return {
    segments: readdirSync(join(dir, "shards", "500")).filter((name) => /^segment-\d+\.db$/.test(name)).length,
    ms: percentiles(samples),
  };
}

/** Returns the seq that the page begins with. */
function page(store: SegmentStore, shard: ShardId, before: Seq): Seq {
  const entries = store.readLaneBackward(shard, "@user0", "@quiet", before, 30);
  if (entries.length !== 30) throw new Error(`a page of ${entries.length} entries instead of 30`);
  return entries[0]!.seq;
}

/** A user with hundreds of conversations resumes from the beginning, in pages of 64. */
async function resume(dir: string): Promise<object> {
  const store = openSegmentStore({ dir });
  const chat = new Chat(1);
  for (let i = 0; i < 50; i++) await store.flush(chat.job(1000, 1, 0, 500));
  const samples: number[] = [];
  for (let after = 0 as Seq; ;) {
    const from = performance.now();
    const entries = store.readForward(chat.shard, "@user0", after, 64);
    samples.push(performance.now() - from);
    if (entries.length === 0) break;
    after = entries.at(-1)!.seq;
  }
  await store.close();
  return {
    pages: samples.length,
    totalMs: Math.round(samples.reduce((a, b) => a + b, 0)),
    pageMs: percentiles(samples),
  };
}

/** A day of light traffic: 20 messages a shard, flushed four times. */
async function smallShards(dir: string): Promise<object> {
  const store = openSegmentStore({ dir });
  const milliseconds: number[] = [];
  const chats = Array.from({ length: 100 }, (_, shard) => new Chat(shard));
  for (const chat of chats) milliseconds.push(await timed(() => store.flush(chat.job(5, 3, 0))));
  for (let i = 0; i < 3; i++) for (const chat of chats) await store.flush(chat.job(5, 3, 0));
  await store.close();
  const shards = join(dir, "shards");
  const files = readdirSync(shards, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
  return { firstFlushMs: percentiles(milliseconds), filesPerShard: files.length / 100, bytesPerShard: bytes / 100 };
}

async function inDirectory<T>(run: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "storage-probe-"));
  try {
    return await run(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const figures = {
  flushOf10000: [await inDirectory((dir) => flushSpeed(dir, 3000)), await inDirectory((dir) => flushSpeed(dir, 100))],
  coldPage: await inDirectory((dir) => coldPage(dir, 500)),
  resumeOf50000: await inDirectory(resume),
  smallShard: await inDirectory(smallShards),
};
console.log(JSON.stringify(figures));
