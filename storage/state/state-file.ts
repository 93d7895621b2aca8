/**
 * The state of one shard: which streams it has, in which blocks their entries are, where keys are found, the cells, and how far all of that
 * reaches in the log. Committed in one transaction per flush, after the blocks it refers to.
 *
 * Not a copy of anything in the segments: entries and keys themselves are only there. Pages are small because a thousand of these files exist
 * on the smallest server, and because a flush of few messages touches few rows all over the tables.
 */
import { type FileFormat } from "../segment/database-file.ts";

export const STATE_FORMAT: FileFormat = {
  name: "shard state",
  /** "PSTA" */
  applicationId: 0x50535441,
  version: 1,
  pageBytes: 1024,
  schema: `
    CREATE TABLE shard(              -- one row
      shard INTEGER PRIMARY KEY,
      flush INTEGER NOT NULL,        -- number of the last flush
      flushed_through INTEGER NOT NULL,
      term INTEGER NOT NULL,
      streams INTEGER NOT NULL       -- how many rows stream has
    );
    CREATE TABLE segment(
      segment INTEGER PRIMARY KEY,   -- the highest is the active one
      blocks INTEGER NOT NULL,       -- how many of its blocks count
      sealed INTEGER NOT NULL        -- 1: a single file that never changes again
    );
    CREATE TABLE stream(
      stream_no INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      head_seq INTEGER NOT NULL
    );
    CREATE TABLE lane(
      stream_no INTEGER NOT NULL,
      name TEXT NOT NULL,
      lane_no INTEGER NOT NULL,      -- from 0, by first appearance in the stream
      PRIMARY KEY(stream_no, name)
    ) WITHOUT ROWID;
    CREATE TABLE run(                -- what one block holds of one stream
      stream_no INTEGER NOT NULL,
      last_seq INTEGER NOT NULL,     -- of its entries; without entries: head of the stream at that time
      segment INTEGER NOT NULL,
      block INTEGER NOT NULL,
      entries INTEGER NOT NULL,      -- 0: keys alone
      PRIMARY KEY(stream_no, last_seq, segment, block)
    ) WITHOUT ROWID;
    CREATE TABLE lane_run(           -- that run has entries of that lane
      stream_no INTEGER NOT NULL,
      lane_no INTEGER NOT NULL,
      last_seq INTEGER NOT NULL,     -- of the run
      PRIMARY KEY(stream_no, lane_no, last_seq)
    ) WITHOUT ROWID;
    CREATE TABLE key_run(            -- a stretch of rising counters in rising runs: the first and the last of those
      stream_no INTEGER NOT NULL,
      prefix TEXT NOT NULL,
      counter_min INTEGER NOT NULL,
      counter_max INTEGER NOT NULL,
      flush INTEGER NOT NULL,        -- that began it
      first_seq INTEGER NOT NULL,
      first_segment INTEGER NOT NULL,
      first_block INTEGER NOT NULL,
      last_seq INTEGER NOT NULL,
      last_segment INTEGER NOT NULL,
      last_block INTEGER NOT NULL,
      PRIMARY KEY(stream_no, prefix, counter_min)
    ) WITHOUT ROWID;
    CREATE TABLE key_hash(           -- any other key
      stream_no INTEGER NOT NULL,
      hash INTEGER NOT NULL,         -- xxHash32 of the key, signed
      segment INTEGER NOT NULL,
      block INTEGER NOT NULL,
      PRIMARY KEY(stream_no, hash, segment, block)
    ) WITHOUT ROWID;
    CREATE TABLE cell(
      stream_no INTEGER NOT NULL,
      key TEXT NOT NULL,
      value BLOB NOT NULL,
      PRIMARY KEY(stream_no, key)
    ) WITHOUT ROWID;`,
};

export type ShardRow = { shard: number; flush: number; flushed_through: number; term: number; streams: number };
export type SegmentRow = { segment: number; blocks: number; sealed: number };
/** Where a run is. */
export type RunRow = { last_seq: number; segment: number; block: number };
export type KeyRunRow = {
  stream_no: number;
  prefix: string;
  counter_min: number;
  counter_max: number;
  flush: number;
  first_seq: number;
  first_segment: number;
  first_block: number;
  last_seq: number;
  last_segment: number;
  last_block: number;
};
