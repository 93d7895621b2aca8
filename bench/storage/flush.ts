/**
 * Flushes from memtables to segments: speed, CPU, the longest gap of the event loop, and bytes written for each byte of
 * records. Each round appends messages until they are durable, then flushes every shard; later rounds find larger
 * files. At the end every shard is compacted.
 */
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import { CODEC_LZ4 } from "../../storage/encoding/packing.ts";
import type { ShardId } from "../../storage/types.ts";
import { loadTexts } from "../measure/texts.ts";
import { Chat, RECORDS_PER_MESSAGE } from "./chat.ts";
import { bytesWritten, cpuMicros, diskUse, GapMeter, round4, type DiskUse } from "./measure.ts";
import type { PartContext } from "./part.ts";
import { openLog, openSegments, UNBOUNDED } from "./stores.ts";

export type FlushParameters = {
  corpus: string | undefined;
  linesMax: number;
  rounds: number;
  messagesPerRound: number;
  users: number;
  shards: number;
  peers: number;
  walFileBytes: number;
  /** Small, so that most blocks are in sealed segments, which compaction rewrites. */
  segmentBytesMax: number;
  codec: "lz4" | "zstd";
};

export type FlushRound = {
  seconds: number;
  entriesPerSecond: number;
  /** MB of records a second. */
  mbPerSecond: number;
  /** CPU of all threads: freezing on the event loop, packing and SQLite in the worker. */
  cpuMicrosPerEntry: number;
  longestGapMs: number;
  /** The same while the process sleeps as long: gaps that the machine causes. */
  idleGapMs: number;
  /** Bytes given to write calls for each byte of records, while appending without flushing. */
  logAmplification: number | undefined;
  flushAmplification: number | undefined;
};

export type FlushFigures = {
  entries: number;
  textBytes: number;
  recordBytes: number;
  rounds: FlushRound[];
  /** Size of segments and state after closing; each message is in them twice. */
  stored: DiskUse;
  bytesPerMessage: number;
  compaction: Compaction;
};

/** Compaction of all shards, one after another, at the store's own level. */
export type Compaction = {
  seconds: number;
  cpuMicrosPerEntry: number;
  longestGapMs: number;
  stored: DiskUse;
  bytesPerMessage: number;
};

const IDLE_MS_MAX = 1000;
/** Appended in one turn of the event loop: about 64 KB. */
const MESSAGES_AT_ONCE = 200;

export async function flush(parameters: FlushParameters, { directory, progress }: PartContext): Promise<FlushFigures> {
  progress(0, parameters.rounds);
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const { walFileBytes, segmentBytesMax, messagesPerRound } = parameters;
  const packing = parameters.codec === "lz4" ? ({ codec: CODEC_LZ4 } as const) : undefined;
  const segments = openSegments({ dir: directory, segmentBytesMax, ...(packing && { packing }) });
  const store = await openLog({
    directory,
    segments,
    walFileBytes,
    walBytesMax: UNBOUNDED,
    memtableBytesMax: UNBOUNDED,
  });
  const chat = new Chat(store, { ...parameters, lines, seed: 11 });
  const gaps = new GapMeter();
  const rounds: FlushRound[] = [];
  let recordBytes = 0;
  for (let round = 0; round < parameters.rounds; round++) {
    const log = await appendMessages(store, chat, messagesPerRound);
    recordBytes += log.recordBytes;
    rounds.push(await flushRound(store, log, messagesPerRound * RECORDS_PER_MESSAGE, gaps));
    progress(round + 1, parameters.rounds);
  }
  const shards = store.opened().map((log) => log.shard);
  await store.close();
  const messages = parameters.rounds * messagesPerRound;
  const stored = diskUse(join(directory, "shards"));
  const compaction = await compactAll(directory, shards, messages, gaps);
  gaps.stop();
  return {
    entries: messages * RECORDS_PER_MESSAGE,
    textBytes: chat.textBytes,
    recordBytes,
    rounds,
    stored,
    bytesPerMessage: round4(stored.bytes / messages),
    compaction,
  };
}

async function compactAll(directory: string, shards: ShardId[], messages: number, gaps: GapMeter): Promise<Compaction> {
  const segments = openSegments({ dir: directory });
  const cpuBefore = cpuMicros();
  const beganAt = performance.now();
  gaps.longestMs();
  for (const shard of shards) await segments.compact(shard);
  const seconds = (performance.now() - beganAt) / 1000;
  const longestGapMs = gaps.longestMs();
  const cpuMicrosPerEntry = round4((cpuMicros() - cpuBefore) / (messages * RECORDS_PER_MESSAGE));
  await segments.close();
  const stored = diskUse(join(directory, "shards"));
  const bytesPerMessage = round4(stored.bytes / messages);
  return { seconds: round4(seconds), cpuMicrosPerEntry, longestGapMs, stored, bytesPerMessage };
}

type Appended = { recordBytes: number; amplification: number | undefined };

async function appendMessages(store: LogStore, chat: Chat, count: number): Promise<Appended> {
  const before = bytesWritten();
  for (let left = count; left > 0; left -= MESSAGES_AT_ONCE) {
    for (let i = Math.min(left, MESSAGES_AT_ONCE); i > 0; i--) chat.message();
    await store.idle();
  }
  const recordBytes = store.opened().reduce((sum, log) => sum + log.memtable.bytes, 0);
  return { recordBytes, amplification: perByte(before, bytesWritten(), recordBytes) };
}

async function flushRound(store: LogStore, log: Appended, entries: number, gaps: GapMeter): Promise<FlushRound> {
  const writtenBefore = bytesWritten();
  const cpuBefore = cpuMicros();
  const beganAt = performance.now();
  gaps.longestMs();
  await store.flushAll(() => false);
  const seconds = (performance.now() - beganAt) / 1000;
  const longestGapMs = gaps.longestMs();
  const cpuMicrosPerEntry = round4((cpuMicros() - cpuBefore) / entries);
  const flushAmplification = perByte(writtenBefore, bytesWritten(), log.recordBytes);
  await new Promise((resolve) => setTimeout(resolve, Math.min(IDLE_MS_MAX, seconds * 1000)));
  return {
    seconds: round4(seconds),
    entriesPerSecond: Math.round(entries / seconds),
    mbPerSecond: round4(log.recordBytes / seconds / 1e6),
    cpuMicrosPerEntry,
    longestGapMs,
    idleGapMs: gaps.longestMs(),
    logAmplification: log.amplification,
    flushAmplification,
  };
}

function perByte(before: number | undefined, after: number | undefined, bytes: number): number | undefined {
  return before === undefined || after === undefined ? undefined : round4((after - before) / bytes);
}
