/** The storage suite's parameters in each size. */

const MIB = 1 << 20;

export type StorageParameters = {
  /** Lines of text that are drawn from. */
  linesMax: number;
  rounds: number;
  append: {
    batchBytes: number[];
    rounds: number;
    roundMs: number;
    roundBytesMax: number;
    walFileBytes: number;
    users: number;
  };
  flush: {
    rounds: number;
    messagesPerRound: number;
    users: number;
    shards: number;
    peers: number;
    walFileBytes: number;
    segmentBytesMax: number;
  };
  lightFlush: { messagesPerRound: number; users: number; shards: number };
  rows: { rows: number; blocks: number; blockBytes: number };
  pages: {
    segments: number[];
    lanes: number;
    entriesOfResumeUser: number;
    entriesOfOthers: number;
    entriesOfNoise: number;
    samples: number;
    resumePage: number;
  };
  recovery: {
    bytes: number;
    unflushedBytes: number;
    walFileBytes: number;
    users: number;
    shards: number;
    peers: number;
  };
  corpus: { daysMax: number; runs: { shards: number; flushes: number }[] };
  codecs: { blockBytes: number[]; bytesMax: number; rounds: number };
};

/** Enough lines that no text repeats within one block or one flush. */
export const FULL_STORAGE: StorageParameters = {
  linesMax: 100_000,
  rounds: 3,
  append: {
    batchBytes: [0, 8 << 10, 64 << 10, 512 << 10],
    rounds: 5,
    roundMs: 500,
    roundBytesMax: 48 * MIB,
    walFileBytes: 32 * MIB,
    users: 2000,
  },
  flush: {
    rounds: 4,
    messagesPerRound: 40_000,
    users: 500,
    shards: 64,
    peers: 4,
    walFileBytes: 32 * MIB,
    segmentBytesMax: 16 << 10,
  },
  lightFlush: { messagesPerRound: 20_000, users: 2000, shards: 1000 },
  rows: { rows: 100_000, blocks: 2000, blockBytes: 12_000 },
  pages: {
    segments: [10, 500],
    lanes: 300,
    entriesOfResumeUser: 40,
    entriesOfOthers: 40,
    entriesOfNoise: 300,
    samples: 300,
    resumePage: 64,
  },
  recovery: {
    bytes: 1024 * MIB,
    unflushedBytes: 64 * MIB,
    walFileBytes: 32 * MIB,
    users: 20_000,
    shards: 1000,
    peers: 15,
  },
  corpus: {
    daysMax: 1000,
    runs: [
      { shards: 1000, flushes: 1 },
      { shards: 1000, flushes: 8 },
      { shards: 100, flushes: 1 },
      { shards: 100, flushes: 8 },
      { shards: 16, flushes: 1 },
      { shards: 16, flushes: 8 },
      { shards: 1, flushes: 1 },
    ],
  },
  codecs: { blockBytes: [4, 8, 16, 32, 64, 128, 256].map((kib) => kib << 10), bytesMax: 6e6, rounds: 3 },
};

export const SMALL_STORAGE: StorageParameters = {
  linesMax: 50_000,
  rounds: 1,
  append: { ...FULL_STORAGE.append, batchBytes: [0, 64 << 10], rounds: 3, roundMs: 250 },
  flush: { ...FULL_STORAGE.flush, rounds: 2, messagesPerRound: 20_000 },
  lightFlush: { messagesPerRound: 10_000, users: 2000, shards: 1000 },
  rows: { rows: 20_000, blocks: 500, blockBytes: 12_000 },
  pages: { ...FULL_STORAGE.pages, segments: [100], samples: 150 },
  recovery: { ...FULL_STORAGE.recovery, bytes: 128 * MIB, unflushedBytes: 32 * MIB },
  corpus: { daysMax: 20, runs: [{ shards: 1000, flushes: 1 }] },
  codecs: { blockBytes: [16 << 10, 64 << 10], bytesMax: 3e6, rounds: 2 },
};

export const TINY_STORAGE: StorageParameters = {
  linesMax: 2000,
  rounds: 1,
  append: {
    batchBytes: [0, 64 << 10],
    rounds: 1,
    roundMs: 40,
    roundBytesMax: 8 * MIB,
    walFileBytes: 2 * MIB,
    users: 100,
  },
  flush: {
    rounds: 1,
    messagesPerRound: 1000,
    users: 60,
    shards: 3,
    peers: 10,
    walFileBytes: 2 * MIB,
    segmentBytesMax: 4 << 10,
  },
  lightFlush: { messagesPerRound: 300, users: 90, shards: 40 },
  rows: { rows: 2000, blocks: 50, blockBytes: 12_000 },
  pages: {
    segments: [6],
    lanes: 100,
    entriesOfResumeUser: 20,
    entriesOfOthers: 20,
    entriesOfNoise: 300,
    samples: 10,
    resumePage: 64,
  },
  recovery: { bytes: 4 * MIB, unflushedBytes: MIB, walFileBytes: 2 * MIB, users: 100, shards: 20, peers: 10 },
  corpus: { daysMax: 1, runs: [{ shards: 4, flushes: 2 }] },
  codecs: { blockBytes: [32 << 10], bytesMax: 200_000, rounds: 1 },
};
