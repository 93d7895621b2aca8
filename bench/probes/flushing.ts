/**
 * A store with a server's limits takes messages at a steady rate and flushes meanwhile: CPU for a message, of the event
 * loop and of the other threads, round by round, and the longest gap of the event loop. For two versions in turns, copy
 * this file to the other checkout. Run it with `npx bun bench/probes/flushing.ts [users=500] [rate=20000] [rounds=10]
 * [perRound=60000] [memtableMb=128]`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Chat } from "../storage/chat.ts";
import { bytesWritten, diskUse, GapMeter } from "../storage/measure.ts";
import { openLog, openSegments } from "../storage/stores.ts";
import { loadTexts } from "../measure/texts.ts";

const option = (name: string, initial: number): number => {
  const found = process.argv.find((word) => word.startsWith(`${name}=`));
  return found === undefined ? initial : Number(found.slice(name.length + 1));
};
const [users, rate, rounds] = [option("users", 500), option("rate", 20_000), option("rounds", 10)];
const [perRound, memtableMb] = [option("perRound", 60_000), option("memtableMb", 128)];

/** Milliseconds on a CPU: of the event loop, of all threads. */
function cpu(): { loop: number; all: number } {
  const of = (task: string): number => {
    try {
      return Number(readFileSync(`/proc/self/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e6;
    } catch {
      return 0;
    }
  };
  const all = readdirSync("/proc/self/task").reduce((sum, task) => sum + of(task), 0);
  return { loop: of(String(process.pid)), all };
}

const dir = mkdtempSync(join(tmpdir(), "flushing-"));
const segments = openSegments({ dir });
const store = await openLog({ directory: dir, segments, memtableBytesMax: memtableMb << 20 });
const { lines } = loadTexts(undefined, 20_000);
const chat = new Chat(store, { lines, users, shards: 1000, peers: 1, seed: 11 });
const gaps = new GapMeter();
const beganAt = performance.now();
let sent = 0;
const figures: { loop: number; worker: number; all: number; gap: number; mb: number }[] = [];
for (let round = 0; round < rounds; round++) {
  const [before, wrote] = [cpu(), bytesWritten() ?? 0];
  gaps.longestMs();
  const end = (round + 1) * perRound;
  while (sent < end) {
    const due = Math.min(end, Math.floor(((performance.now() - beganAt) * rate) / 1000));
    for (; sent < due; sent++) chat.message();
    await store.idle();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const after = cpu();
  const micros = (ms: number): number => Math.round((ms * 1e5) / perRound) / 100;
  const [loop, all] = [micros(after.loop - before.loop), micros(after.all - before.all)];
  const mb = Math.round(((bytesWritten() ?? 0) - wrote) / 1e5) / 10;
  figures.push({ loop, worker: Math.round((all - loop) * 100) / 100, all, gap: Math.round(gaps.longestMs()), mb });
}
gaps.stop();
const flushed = performance.now();
await store.close();
const closeMs = performance.now() - flushed;
const sum = figures.reduce((total, { all }) => total + all, 0) / rounds;
const least = Math.min(...figures.map(({ all }) => all));
const worst = Math.max(...figures.map(({ all }) => all));
for (const figure of figures) console.log(JSON.stringify(figure));
const disk = (diskUse(join(dir, "shards")).bytes / 1e6).toFixed(1);
console.log(
  `mean ${sum.toFixed(2)} µs a message, worst over best ${(worst / least).toFixed(2)}, disk ${disk} MB, close ${closeMs.toFixed(0)} ms`,
);
rmSync(dir, { recursive: true, force: true });
