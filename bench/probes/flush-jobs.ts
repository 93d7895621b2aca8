/**
 * What a server's flushes cost by themselves: a store with the server's limits takes messages, and what it hands to the
 * flush worker is done on this thread instead, so that a profiler sees it: `npx bun --cpu-prof-md
 * bench/probes/flush-jobs.ts [users=500] [messages=1000000] [memtableMb=64] [codec=zstd|lz4]`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CODEC_LZ4, CODEC_ZSTD } from "../../storage/encoding/packing.ts";
import { ShardFlushes } from "../../storage/files/flush/shard-flushes.ts";
import { RecentWriter } from "../../storage/files/flush/recent-writer.ts";
import { WriterSet } from "../../storage/files/flush/writer-set.ts";
import type { FlushJob } from "../../storage/files/segment-store.ts";
import { Chat } from "../storage/chat.ts";
import { bytesWritten, cpuMicros, diskUse } from "../storage/measure.ts";
import { forgetfulSegments, openLog, unsyncedFiles } from "../storage/stores.ts";
import { loadTexts } from "../measure/texts.ts";

const word = (name: string): string | undefined =>
  process.argv.find((given) => given.startsWith(`${name}=`))?.slice(name.length + 1);
const option = (name: string, initial: number): number => Number(word(name) ?? initial);
const [users, messages, memtableMb] = [option("users", 500), option("messages", 1_000_000), option("memtableMb", 64)];

const dir = mkdtempSync(join(tmpdir(), "flush-jobs-"));
const packing = word("codec") === "lz4" ? ({ codec: CODEC_LZ4 } as const) : ({ codec: CODEC_ZSTD, level: 3 } as const);
const MIB = 1 << 20;
const options = {
  dir,
  segmentBytesMax: 64 * MIB,
  blockBytesMax: 32 << 10,
  walBytesMax: 4 * MIB,
  recentWalBytesMax: 16 * MIB,
  recentItemsMax: 256,
  layerBytesMax: 8 * MIB,
  recentBytesMax: option("recentKb", 256) << 10,
  runEntriesMin: 32,
  keepsPositions: false,
  packing,
  blockPacking: packing,
};
const writers = new WriterSet(options, option("writers", 32));
const recent = new RecentWriter(options);
const flushes = new ShardFlushes(dir, writers, recent, packing);

let waiting: { job: FlushJob; done: () => void }[] = [];
let [toldBytes, toldCpu] = [0, 0];
let [cpu, wall, wrote, flushed, bytes, together] = [0, 0, 0, 0, 0, 0];

function work(): void {
  const batch = waiting;
  waiting = [];
  const [cpuBefore, wallBefore, wroteBefore] = [cpuMicros(), performance.now(), bytesWritten() ?? 0];
  flushes.together(() => batch.map(({ job }) => flushes.flush(job)));
  cpu += cpuMicros() - cpuBefore;
  wall += performance.now() - wallBefore;
  wrote += (bytesWritten() ?? 0) - wroteBefore;
  together++;
  flushed += batch.length;
  for (const { job } of batch) for (const part of job.image) bytes += part.length;
  for (const { done } of batch) done();
  if (bytes - toldBytes < 64 * MIB) return;
  console.log(`${((cpu - toldCpu) / ((bytes - toldBytes) / 212)).toFixed(2)} µs of CPU a message`);
  [toldBytes, toldCpu] = [bytes, cpu];
}

const segments = {
  ...forgetfulSegments(),
  flush: (job: FlushJob) =>
    new Promise<void>((done) => {
      if (waiting.push({ job, done }) === 1) setImmediate(work);
    }),
};
const store = await openLog({ directory: dir, segments, memtableBytesMax: memtableMb << 20, files: unsyncedFiles() });
const { lines } = loadTexts(undefined, 20_000);
const chat = new Chat(store, { lines, users, shards: 1000, peers: 1, seed: 11 });
for (let sent = 0; sent < messages; sent += 200) {
  for (let i = 0; i < 200; i++) chat.message();
  await store.idle();
}
const perMessage = (total: number): string => (total / (bytes / 212)).toFixed(2);
console.log(
  `${flushed} flushes in ${together} transactions, ${(bytes / MIB).toFixed(1)} MiB; a message: ${perMessage(cpu)} µs of CPU, ` +
    `${perMessage(wall * 1000)} µs of time, ${perMessage(wrote)} bytes written; a flush ${(cpu / flushed).toFixed(0)} µs, ` +
    `${(bytes / flushed / 1024).toFixed(1)} KiB`,
);
writers.close();
recent.close();
console.log(`${(diskUse(join(dir, "shards")).bytes / (bytes / 212)).toFixed(1)} bytes of files a flushed message`);
rmSync(dir, { recursive: true, force: true });
process.exit(0);
