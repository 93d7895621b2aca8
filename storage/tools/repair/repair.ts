/**
 * Repairs a copy of a damaged data directory: afterwards every shard can be opened, and has all that could be proved to
 * be what was written.
 *
 *   1. whole shards    what the log has of them is flushed, so that the log is not needed any more
 *   2. look            each shard by itself, as `verify` does: which are damaged, known to the server or not
 *   3. gather          of each damaged shard all rows, blocks and records that pass their checksums (salvage-shard.ts)
 *   4. write           `recent.db` anew with what whole shards have there, damaged shards from what was gathered, no
 *                      log
 *
 * Whatever kills it, the source is as it was, and a copy is repaired from its beginning or not at all.
 */
import * as fs from "node:fs";
import { join } from "node:path";
import { CorruptionError } from "../../errors.ts";
import { DAMAGED_DIRECTORY } from "../../log/damaged-directory.ts";
import { DamagedShards, type Damage, readDamage } from "../../shard/damaged-shards.ts";
import type { LogStore } from "../../log-store.ts";
import { openLogStore } from "../../open-store.ts";
import { erasingPath, recentPath, shardDirectory, shardsDirectory } from "../../files/sqlite/paths.ts";
import { openSegmentStore } from "../../files/sqlite-segments.ts";
import { type LogPosition, SHARD_COUNT, type ShardId } from "../../types.ts";
import { realFileSystem } from "../../vfs/file-system.ts";
import { fileHeader, walFileName, walFileNo } from "../../log/local/frame.ts";
import { reachOf } from "../../log/local/read-log.ts";
import { SetAside } from "../../log/local/set-aside.ts";
import { emptyReport, Findings } from "../report.ts";
import { verifyRecent } from "../verify-recent.ts";
import { verifyShardFiles } from "../verify-shard.ts";
import { shardOfPath } from "../verify-files.ts";
import type { UnreadablePart } from "./copy-files.ts";
import { rebuildShard } from "./rebuild-shard.ts";
import { RecentRemains } from "./recent-remains.ts";
import { salvageShard } from "./salvage-shard.ts";
import type { BrokenRow } from "./salvaged-rows.ts";
import { extentOf, type LogPart, SalvagedLog } from "./salvaged-log.ts";
import type { LostRange, ShardContents } from "./shard-contents.ts";
import { ShardBytes } from "./shard-bytes.ts";
import type { ReadAt } from "./torn-read.ts";

export type RepairPhase = "reading" | "writing";

export type RepairOptions = {
  /** This one alone; others that are damaged stay closed. */
  shard?: ShardId | undefined;
  /** The lane that a lost entry of a stream is put in, when nothing tells which it was in. */
  laneOfLost: (stream: string) => string;
  /**
   * The name under which the key of a lost entry is kept, so that it is not taken for new; undefined: it is not kept.
   */
  keyOfLost: (stream: string, key: string) => string | undefined;
  /**
   * Cells that a stream gets which has lost entries, or may have: so that its readers learn that it is not what it was.
   */
  cellsOfLost?: (stream: string) => [key: string, value: Uint8Array][];
  /** Bytes of shards' own files. */
  progress?: (phase: RepairPhase, done: number, total: number) => void;
  /** Parts that the disk refused when the target was made of the source. */
  unreadable?: readonly UnreadablePart[];
  /** How the source is read. */
  read?: ReadAt;
};

export type LostEntries = { stream: string; ranges: LostRange[] };

export type RepairedShard = {
  shard: ShardId;
  /** What was wrong. */
  found: string[];
  /** What could not be saved, in words. */
  missing: string[];
  /** Entries in whose places tombstones stand now. */
  lost: LostEntries[];
  /** Entries behind the newest saved ones may be lost, and cells may be older than they were. */
  mayLackNewest: boolean;
  /** What was erased may be there again. */
  mayShowErased: boolean;
  streams: number;
  entries: number;
};

export type RepairOfStore = {
  shards: RepairedShard[];
  /** Damaged shards that were left as they are. */
  left: Damage[];
  /** What was left out: for people. */
  parts: LogPart[];
  broken: BrokenRow[];
};

/** @param target a copy of the source that nobody else has */
export async function repairStore(source: string, target: string, options: RepairOptions): Promise<RepairOfStore> {
  return new StoreRepair(source, target, options).run();
}

const NOBODY = (): void => {};
const SHARDS = Array.from({ length: SHARD_COUNT }, (_, shard) => shard as ShardId);

class StoreRepair {
  readonly #source: string;
  readonly #target: string;
  readonly #options: RepairOptions;
  /** What is wrong with each damaged shard. */
  readonly #found = new Map<ShardId, string[]>();
  readonly #result: RepairOfStore = { shards: [], left: [], parts: [], broken: [] };

  constructor(source: string, target: string, options: RepairOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  async run(): Promise<RepairOfStore> {
    const isOpened = await this.#flushWhole();
    // Of the source: what was flushed just now has left the log of the copy.
    const { read } = this.#options;
    const seen = SalvagedLog.read(this.#source, () => false, read);
    this.#noteUnreadable();
    const recent = await this.#look(isOpened, seen);
    const log = SalvagedLog.read(this.#source, (shard) => this.#found.has(shard), read);
    const damaged = [...this.#found.keys()].toSorted((a, b) => a - b);
    const { shard: only } = this.#options;
    const chosen = damaged.filter((shard) => only === undefined || shard === only);
    if (chosen.length > 0) await this.#rebuild(chosen, recent, log);
    this.#leaveLog(damaged.filter((shard) => !chosen.includes(shard)));
    this.#result.parts.push(...log.parts);
    this.#result.broken.push(...recent.broken);
    return this.#result;
  }

  #note(shard: ShardId, what: string): void {
    const known = this.#found.get(shard);
    if (known === undefined) this.#found.set(shard, [what]);
    else if (!known.includes(what)) known.push(what);
  }

  #noteUnreadable(): void {
    for (const { path, from, to } of this.#options.unreadable ?? []) {
      const shard = shardOfPath(path);
      if (shard !== undefined) this.#note(shard, `${path}: bytes ${from} to ${to - 1} cannot be read from the disk`);
    }
  }

  // ---- 1

  /** @returns false when the store cannot be opened at all: then nothing is known to be whole */
  async #flushWhole(): Promise<boolean> {
    const hooks = {
      checkpoint: (): Uint8Array<ArrayBuffer> => new Uint8Array(0),
      beforeWrite: NOBODY,
      onListenerError: NOBODY,
      onFlushFailure: NOBODY,
      onFailure: NOBODY,
    };
    let store: LogStore;
    try {
      store = await openLogStore({ directory: this.#target, damage: "close" }, hooks);
    } catch (error) {
      if (error instanceof CorruptionError) return false;
      throw error;
    }
    try {
      await store.flushAll(() => false);
      for (const { shard, what } of store.damaged) this.#note(shard, what);
      for (const { shard, isDirty } of store.opened()) if (isDirty) this.#note(shard, "it could not be flushed");
    } finally {
      await store.close();
    }
    return true;
  }

  // ---- 2

  async #look(isOpened: boolean, log: SalvagedLog): Promise<RecentRemains> {
    const findings = new Findings();
    const check = { findings, progress: NOBODY };
    let recent = verifyRecent(this.#target, check, fs.existsSync(recentPath(this.#target)), true);
    const isSound = findings.count === 0;
    const remains = RecentRemains.read(this.#target, isSound);
    if (!isSound) {
      recent.close();
      for (const shard of remains.shards())
        if (!remains.isWhole(shard)) this.#note(shard, "its part of recent.db is damaged");
      remains.rewrite(
        this.#target,
        remains.shards().filter((shard) => remains.isWhole(shard)),
      );
      recent = verifyRecent(this.#target, { findings: new Findings(), progress: NOBODY }, true, true);
    }
    const own = ownShards(this.#target);
    // Any shard may have had records in a damaged part of the log.
    for (const shard of log.unreadable.length > 0 ? SHARDS : [])
      if (log.mayLackUnread(shard)) this.#note(shard, "records may have been in a part of the log that cannot be read");
    const inLog = isOpened ? [] : log.parts.length > 0 ? SHARDS : log.seen;
    const all = new Set([...own, ...remains.shards(), ...inLog, ...this.#found.keys()]);
    const bytes = new ShardBytes(this.#target, all, (done, total) => this.#options.progress?.("reading", done, total));
    for (const shard of [...all].toSorted((a, b) => a - b)) {
      if (!isOpened) this.#note(shard, "the directory could not be opened");
      else if (!this.#found.has(shard)) this.#lookAt(shard, recent, isSound || remains.of(shard).row !== undefined);
      bytes.did(shard);
      await new Promise(setImmediate);
    }
    recent.close();
    return remains;
  }

  #lookAt(shard: ShardId, recent: ReturnType<typeof verifyRecent>, isKnown: boolean): void {
    const findings = new Findings();
    const at = shardDirectory(this.#target, shard);
    const name = at.slice(this.#target.length + 1);
    const part = recent.parts.get(shard);
    verifyShardFiles({
      at,
      name,
      shard,
      findings,
      report: emptyReport(this.#target),
      recent: part,
      inLog: undefined,
      progress: NOBODY,
    });
    for (const { file, place, what } of findings.list) this.#note(shard, `${file}: ${what} at ${place}`);
    if (!isKnown) this.#note(shard, "recent.db is damaged, and may have had more of it");
  }

  // ---- 3, 4

  async #rebuild(chosen: readonly ShardId[], recent: RecentRemains, log: SalvagedLog): Promise<void> {
    const isKept = (shard: ShardId): boolean => !chosen.includes(shard);
    recent.rewrite(this.#target, recent.shards().filter(isKept));
    const bytes = new ShardBytes(this.#target, chosen, (done, total) =>
      this.#options.progress?.("writing", done, total),
    );
    const store = openSegmentStore({ dir: this.#target });
    try {
      for (const shard of chosen) {
        await this.#rebuildOne(store, shard, recent, log);
        bytes.did(shard);
      }
    } finally {
      await store.close();
    }
  }

  #takeAway(shard: ShardId): void {
    fs.rmSync(shardDirectory(this.#target, shard), { recursive: true, force: true });
    fs.rmSync(erasingPath(this.#target, shard), { force: true });
  }

  async #rebuildOne(
    store: ReturnType<typeof openSegmentStore>,
    shard: ShardId,
    recent: RecentRemains,
    log: SalvagedLog,
  ): Promise<void> {
    const { contents, broken } = salvageShard(this.#target, shard, recent.of(shard), log);
    this.#result.broken.push(...broken);
    this.#takeAway(shard);
    const lost = this.#fill(contents);
    let entries = 0;
    await rebuildShard(store, contents, (count) => void (entries += count));
    const { missing, mayLackNewest, mayShowErased, streams } = contents;
    const found = this.#found.get(shard) ?? [];
    const repaired = { shard, found, missing, lost, mayLackNewest, mayShowErased, streams: streams.size, entries };
    this.#result.shards.push(repaired);
  }

  #fill(contents: ShardContents): LostEntries[] {
    const { laneOfLost, keyOfLost, cellsOfLost } = this.#options;
    return contents.inOrder().flatMap((stream) => {
      const ranges = stream.fill(laneOfLost(stream.name));
      for (const { from, to } of ranges) {
        for (let seq = from; seq <= to; seq++) {
          const key = stream.keyAt.get(seq);
          const kept = key === undefined ? undefined : keyOfLost(stream.name, key);
          if (kept !== undefined) stream.putKey(kept, { seq, value: new Uint8Array(0), offset: 0 });
        }
      }
      if (ranges.length > 0 || contents.mayLackNewest)
        for (const [key, value] of cellsOfLost?.(stream.name) ?? []) stream.cells.set(key, value);
      return ranges.length === 0 ? [] : [{ stream: stream.name, ranges }];
    });
  }

  /** Whole shards need no log any more. What it has of shards that stay damaged is set aside. */
  #leaveLog(left: readonly ShardId[]): void {
    const wal = join(this.#target, "wal");
    const numbers = fs
      .readdirSync(wal)
      .map(walFileNo)
      .filter((number) => number !== undefined);
    const before = new Map(readDamageIn(this.#target).map((damage) => [damage.shard, damage]));
    if (left.length === 0) fs.rmSync(join(this.#target, DAMAGED_DIRECTORY), { recursive: true, force: true });
    else this.#keepFor(left, before, wal, numbers);
    for (const name of fs.readdirSync(wal)) fs.rmSync(join(wal, name), { force: true });
    // An empty one: a directory without a log is one whose log is gone.
    fs.writeFileSync(join(wal, walFileName(1)), fileHeader(1, 0), { mode: 0o600 });
  }

  #keepFor(left: readonly ShardId[], before: Map<ShardId, Damage>, wal: string, numbers: readonly number[]): void {
    const list = new DamagedShards(this.#target, realFileSystem);
    const inOrder = numbers.toSorted((a, b) => a - b);
    const reach = reachOf(inOrder, extentOf(wal));
    const [first, last] = (reach.first > reach.last ? [0, 0] : [reach.first, reach.last]) as [LogPosition, LogPosition];
    for (const shard of left) {
      const damage = before.get(shard) ?? { shard, what: this.#found.get(shard)!.join("; "), first, last };
      list.add(damage);
      this.#result.left.push(damage);
    }
    list.save();
    const aside = new SetAside(this.#target, realFileSystem);
    for (let fileNo = reach.first; fileNo <= reach.last; fileNo++) aside.add(wal, fileNo, list.list());
  }
}

function readDamageIn(root: string): Damage[] {
  try {
    return readDamage(root);
  } catch (error) {
    if (error instanceof CorruptionError) return [];
    throw error;
  }
}

/** Shards with files of their own. */
function ownShards(root: string): ShardId[] {
  const directory = shardsDirectory(root);
  if (!fs.existsSync(directory)) return [];
  return fs
    .readdirSync(directory)
    .filter((name) => /^\d{3}$/.test(name))
    .map((name) => Number(name) as ShardId)
    .filter((shard) => shard < SHARD_COUNT);
}
