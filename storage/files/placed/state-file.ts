/**
 * The state of one shard: its streams with their newest entries and their cells, in which blocks the other entries are,
 * where keys point, and how far all of that reaches. Committed in one transaction per flush, after the blocks it refers
 * to.
 *
 * An entry is in a layer, or in its lane's tail, or in a block of a segment, never in two of them. Pages of the file
 * are small because a flush of few messages touches few rows all over the tables. The tables carry no comments, since
 * those cost pages too: here they are.
 *
 *     shard      one row. flush: number of the last flush. streams, lanes: how many there are. files: highest number a segment file ever had.
 *                layers: which there are (files/layers/page-table.ts)
 *     name       names of streams page × 64 + 1 … page × 64 + 64, each str8
 *     page       what is not placed: reaches of streams, newest entries, cells (files/layers/page-table.ts)
 *     segment    where its blocks are: rows base + 1 … base + blocks of a file, which other segments may share. status: see SEGMENT_*.
 *                packing: 0 as flushed, else the zstd level it was rewritten with
 *     timeline   a page of a stream's timeline (timeline.ts). first_seq: seq of its first entry; -1 for the last page of the stream, which grows
 *     lane       its number; all other tables go by that
 *     run        entries of a lane, first_seq … last_seq, are in that block; entries: how many
 *     tail       row 64 × lane + n: chunk n of a lane's newest entries, a packed run (encoding/run.ts)
 *     key_page   keys of a stream that end in a counter, by rising prefix and counter (key-page.ts). prefix, first: of the first one; the stream's
 *                lowest page has '' and 0, whatever is in it
 *     key_hash   other keys. hash: xxHash32 of the key, signed. alone: null for the key of the entry at seq, else str8 key, value
 *     erasure    entries from_seq … to_seq are to be read as tombstones though they are still in segments. lane 0: of every lane
 *     crc        of the row (files/sqlite/row-crc.ts)
 */
import { PAGE_SCHEMA } from "../layers/page-table.ts";
import { type FileFormat } from "../sqlite/database-file.ts";

export const STATE_FORMAT: FileFormat = {
  name: "shard state",
  /** "PSTA" */
  applicationId: 0x50535441,
  version: 1,
  pageBytes: 512,
  schema: `
CREATE TABLE shard(shard INTEGER PRIMARY KEY, flush INT, flushed_through INT, term INT, streams INT, lanes INT, files INT, erasures INT, layers BLOB, crc INT);
CREATE TABLE name(page INTEGER PRIMARY KEY, names BLOB, crc INT);${PAGE_SCHEMA}`,
};

/**
 * Tables that a shard gets when the first items of it are placed: many shards have none for long, and a table without
 * rows is a page.
 */
export const PLACED_SCHEMA = `
CREATE TABLE segment(segment INTEGER PRIMARY KEY, file INT, base INT, blocks INT, status INT, packing INT, crc INT);
CREATE TABLE timeline(stream_no INT, first_seq INT, page BLOB, crc INT, PRIMARY KEY(stream_no, first_seq)) WITHOUT ROWID;
CREATE TABLE lane(stream_no INT, name TEXT, lane INT, crc INT, PRIMARY KEY(stream_no, name)) WITHOUT ROWID;
CREATE TABLE run(lane INT, last_seq INT, first_seq INT, segment INT, block INT, entries INT, crc INT, PRIMARY KEY(lane, last_seq)) WITHOUT ROWID;
CREATE TABLE tail(tail INTEGER PRIMARY KEY, first_seq INT, last_seq INT, entries INT, codec INT, raw_bytes INT, data BLOB, crc INT);
CREATE TABLE key_page(stream_no INT, prefix TEXT, first INT, page BLOB, crc INT, PRIMARY KEY(stream_no, prefix, first)) WITHOUT ROWID;
CREATE TABLE key_hash(stream_no INT, hash INT, seq INT, alone BLOB, crc INT, PRIMARY KEY(stream_no, hash, seq)) WITHOUT ROWID;
CREATE TABLE erasure(id INTEGER PRIMARY KEY, stream_no INT, lane INT, from_seq INT, to_seq INT, crc INT);`;

/** Flushes append to it; at most one of a shard. */
export const SEGMENT_ACTIVE = 0;
/** Nothing is appended any more; still in WAL mode. */
export const SEGMENT_FULL = 1;
/** A single file that never changes again. */
export const SEGMENT_SEALED = 2;

/** Where the page of a timeline is that still grows. */
export const OPEN_PAGE = -1;

/** Chunks of one tail have neighbouring row numbers; there are fewer than this. */
export const CHUNKS_MAX = 64;

export type ShardRow = {
  shard: number;
  flush: number;
  flushed_through: number;
  term: number;
  streams: number;
  lanes: number;
  files: number;
  erasures: number;
  layers: Uint8Array;
  crc: number;
};
export type NameRow = { page: number; names: Uint8Array; crc: number };
export type SegmentRow = {
  segment: number;
  file: number;
  base: number;
  blocks: number;
  status: number;
  packing: number;
  crc: number;
};
export type TimelineRow = { stream_no: number; first_seq: number; page: Uint8Array; crc: number };
export type LaneRow = { stream_no: number; name: string; lane: number; crc: number };
export type RunRow = {
  lane: number;
  last_seq: number;
  first_seq: number;
  segment: number;
  block: number;
  entries: number;
  crc: number;
};
export type TailRow = {
  tail: number;
  first_seq: number;
  last_seq: number;
  entries: number;
  codec: number;
  raw_bytes: number;
  data: Uint8Array;
  crc: number;
};
export type KeyPageRow = { stream_no: number; prefix: string; first: number; page: Uint8Array; crc: number };
export type KeyHashRow = { stream_no: number; hash: number; seq: number; alone: Uint8Array | null; crc: number };
export type ErasureRow = { id: number; stream_no: number; lane: number; from_seq: number; to_seq: number; crc: number };
