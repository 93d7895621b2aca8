/**
 * The files of one shard as its writer has them open: the state, and the active segment while there is one. Opening
 * makes what is missing, takes away what a crash left, and switches to WAL mode; closing leaves single files where
 * nobody reads them.
 *
 * A segment file that `state.db` does not list counts for nothing: it was begun by a flush or a rewriting that never
 * committed.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { SqlDatabase } from "../sqlite/database.ts";
import { SEGMENT_ACTIVE, SEGMENT_FULL, SEGMENT_SEALED, type SegmentRow, STATE_FORMAT } from "../placed/state-file.ts";
import { listSegments } from "../placed/state-reader.ts";
import { readShardRow, type Unsigned, writeSegmentRow } from "../placed/state-writer.ts";
import type { ShardId } from "../../types.ts";
import { createDirectory, openDatabaseFile } from "../sqlite/database-file.ts";
import { hasState, segmentFileNo, segmentPath, shardDirectory, statePath } from "../sqlite/paths.ts";
import { removeOrphans, SEGMENT_FORMAT } from "../placed/segment-file.ts";
import { fold, leaveWal, openForWriting } from "../sqlite/written-file.ts";

export type Active = { row: Unsigned<SegmentRow>; db: SqlDatabase };

/** How long sealing waits for a reader before it leaves the segment for the next flush. */
const SEAL_BUSY_TIMEOUT_MS = 20;

export class ShardFiles {
  readonly #dir: string;
  readonly #shard: ShardId;
  #state: SqlDatabase | undefined;
  #active: Active | undefined;
  /** Highest number that a segment file ever had. */
  #lastFile = 0;

  constructor(dir: string, shard: ShardId) {
    this.#dir = dir;
    this.#shard = shard;
  }

  get lastFile(): number {
    return this.#lastFile;
  }

  /** Makes the shard when there is none. */
  openState(): SqlDatabase {
    if (this.#state !== undefined) return this.#state;
    createDirectory(shardDirectory(this.#dir, this.#shard));
    const isNew = !hasState(this.#dir, this.#shard);
    const state = openForWriting(statePath(this.#dir, this.#shard), STATE_FORMAT, isNew);
    this.#state = state;
    this.#lastFile = readShardRow(state, this.#shard).files;
    this.#removeUnlisted(listSegments(state));
    return state;
  }

  /** A number for another file. */
  nextFile(): number {
    return ++this.#lastFile;
  }

  /** The active segment, or another one when it is larger than `bytesMax`. */
  openActive(bytesMax: number): Active {
    const state = this.openState();
    let active = this.mendActive();
    if (active !== undefined && segmentBytes(active.db) > bytesMax) {
      this.#leave(state, active);
      active = undefined;
    }
    this.#active = active ?? this.#openSegment(this.#newSegment(listSegments(state).at(-1)));
    return this.#active;
  }

  /** Opens the active segment, if there is one: what a crash left above its last block is deleted then. */
  mendActive(): Active | undefined {
    if (this.#active !== undefined) return this.#active;
    const row = listSegments(this.openState()).find((known) => known.status === SEGMENT_ACTIVE);
    return (this.#active = row && this.#openSegment(row));
  }

  /** Nothing is appended to the active segment any more; a transaction of the state may be open. */
  leaveActive(): void {
    const active = this.mendActive();
    if (active !== undefined) this.#leave(this.openState(), active);
  }

  /** Files of full segments that are not sealed. */
  unsealed(): number[] {
    return listSegments(this.openState())
      .filter((row) => row.status === SEGMENT_FULL)
      .map((row) => row.file);
  }

  /** Seals what earlier flushes left, where nobody reads it just now. Returns the rows to write. */
  sealLeft(): Unsigned<SegmentRow>[] {
    const left = listSegments(this.openState()).filter((row) => row.status === SEGMENT_FULL);
    return left.flatMap((row) => {
      return sealFile(segmentPath(this.#dir, this.#shard, row.file)) ? { ...row, status: SEGMENT_SEALED } : [];
    });
  }

  removeFile(file: number): void {
    removeSegmentFiles(shardDirectory(this.#dir, this.#shard), (no) => no === file);
  }

  /** Folds write-ahead files in that are larger than this. */
  foldLarge(walBytesMax: number): void {
    for (const db of this.#open()) fold(db, walBytesMax);
  }

  /**
   * Nothing is left in the write-ahead files, nor of what a crash left in the active segment.
   * @throws while one is being read
   */
  emptyWal(): void {
    this.mendActive();
    for (const db of this.#open()) {
      if (db.pragma("wal_checkpoint(TRUNCATE)") === 0) continue;
      throw new Error(`${db.file}: its write-ahead file is being read and cannot be emptied now; erase again`);
    }
  }

  /**
   * Folds the write-ahead files in, and leaves WAL mode where nobody reads: a single file is opened six times faster,
   * and on a full disk, too.
   */
  close(): void {
    for (const db of this.#open()) {
      fold(db);
      leaveWal(db);
    }
    this.abandon();
  }

  /** Closes as things are. */
  abandon(): void {
    for (const db of this.#open()) db.close();
    this.#state = undefined;
    this.#active = undefined;
  }

  #open(): SqlDatabase[] {
    return [this.#active?.db, this.#state].filter((db) => db !== undefined);
  }

  /** Without what a crash or a failed flush left above its last block, before it is asked whether it is full. */
  #openSegment(row: Unsigned<SegmentRow>): Active {
    const path = segmentPath(this.#dir, this.#shard, row.file);
    const db = openForWriting(path, SEGMENT_FORMAT, row.blocks === 0);
    // What a crash left above the last block is deleted here, and nothing else ever: it is to be gone. The state is
    // written anew when something is erased.
    db.pragma("secure_delete = ON");
    removeOrphans(db, row.blocks);
    return { row, db };
  }

  #newSegment(last: SegmentRow | undefined): Unsigned<SegmentRow> {
    const segment = (last?.segment ?? 0) + 1;
    return { segment, file: this.nextFile(), base: 0, blocks: 0, status: SEGMENT_ACTIVE, packing: 0 };
  }

  #leave(state: SqlDatabase, active: Active): void {
    active.db.close();
    this.#active = undefined;
    writeSegmentRow(state, { ...active.row, status: SEGMENT_FULL });
  }

  #removeUnlisted(rows: SegmentRow[]): void {
    const listed = new Set(rows.map((row) => row.file));
    removeSegmentFiles(shardDirectory(this.#dir, this.#shard), (no) => !listed.has(no));
  }
}

/** Removes segment files, and what lies beside them, by their number. */
function removeSegmentFiles(directory: string, isGone: (file: number) => boolean): void {
  for (const name of readdirSync(directory)) {
    const no = segmentFileNo(name);
    if (no !== undefined && isGone(no)) rmSync(join(directory, name), { force: true });
  }
}

function segmentBytes(db: SqlDatabase): number {
  const pages = (db.pragma("page_count") as number) - (db.pragma("freelist_count") as number);
  return pages * SEGMENT_FORMAT.pageBytes;
}

/** False while the file is being read. Other errors are left to its readers: new messages need not wait for them. */
function sealFile(path: string): boolean {
  let db: SqlDatabase | undefined;
  try {
    db = openDatabaseFile(path, SEGMENT_FORMAT, "readwrite", SEAL_BUSY_TIMEOUT_MS);
    db.pragma("synchronous = FULL");
    return db.isInPlace && db.pragma("journal_mode = DELETE") === "delete";
  } catch {
    return false;
  } finally {
    db?.close();
  }
}
