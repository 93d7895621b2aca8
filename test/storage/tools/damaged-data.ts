/** A data directory with something everywhere (log, recent entries, own files, segments), what was written to it, and ways to damage its files. */
import { expect } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import type { LogStore } from "../../../storage/log-store.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import type { RepairedShard, RepairOfStore } from "../../../storage/tools/repair/repair.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { LogHistory, fold, type Op } from "../log-history.ts";
import { QUIET } from "../log-fixture.ts";
import type { Random } from "../../support/random.ts";
import { MIXED } from "./shard-rounds.ts";

/** Much, little, next to nothing; and one that the log alone has. */
export const HEAVY = 42;
export const LIGHT = 7;
export const RARE = 500;
export const FRESH = 900;

export const openAt = (directory: string): Promise<LogStore> =>
  openLogStore(
    {
      directory,
      walFileBytes: 8 << 10,
      walBytesMax: 1 << 20,
      markAfterMs: 0,
      segments: openSegmentStore({ dir: directory, ...MIXED }),
    },
    QUIET,
  );

/** Closed, with a part in the log that was not flushed. */
export async function writeData(directory: string, random: Random): Promise<LogHistory> {
  fs.mkdirSync(join(directory, "wal"), { recursive: true });
  const history = new LogHistory();
  const store = await openAt(directory);
  let count = 0;
  const write = async (shards: number[]): Promise<void> => {
    for (const shard of shards) {
      history.append(store, [{ shard, ops: ops(++count, random) }]);
      if (random() < 0.4) await store.idle();
    }
    await store.idle();
  };
  for (let round = 0; round < 8; round++) {
    await write(Array.from({ length: 50 }, () => HEAVY));
    await write([LIGHT, LIGHT, LIGHT]);
    if (round % 3 === 0) await write([RARE]);
    if (round < 7) await store.flushAll(() => false);
  }
  await write([FRESH, LIGHT, HEAVY, FRESH, LIGHT, HEAVY, RARE, LIGHT, HEAVY, FRESH]);
  await store.close();
  return history;
}

function ops(n: number, random: Random): Op[] {
  const stream = ["@ann", "@bob", "#team"][Math.floor(random() * 3)]!;
  const lane = ["@cem", "@dora", ""][Math.floor(random() * 3)]!;
  const key = n % 3 === 0 ? `d${n % 5}-${n}` : n % 7 === 0 ? `any ${n} x` : "";
  const all: Op[] = [{ kind: "entry", stream, lane, key, payload: `message ${n} ${"word ".repeat(random() * 30)}` }];
  if (n % 2 === 0) all.push({ kind: "cell", stream, key: `c${n % 4}`, value: n % 10 === 0 ? null : `value ${n}` });
  if (n % 5 === 0) all.push({ kind: "key", stream: "@keys", key: `k-${n}`, seq: n, value: `#g${n % 3}` });
  return all;
}

export type Damage = { path: string; what: string };

/** @param isLastLog of the last log file: what takes its end cannot be told from a crash */
export function damageFile(path: string, random: Random, isLastLog: boolean): string {
  const bytes = fs.readFileSync(path);
  const size = isLastLog ? Math.max(1, bytes.length - 24) : bytes.length;
  const at = Math.floor(random() * size);
  const kind = Math.floor(random() * (isLastLog ? 2 : 4));
  if (kind === 0) {
    bytes[at]! ^= 1 << Math.floor(random() * 8);
    fs.writeFileSync(path, bytes);
    return `bit of byte ${at} flipped`;
  }
  if (kind === 1) {
    const to = Math.min(size, at + 1 + Math.floor(random() * 2000));
    fs.writeFileSync(path, bytes.fill(random() < 0.5 ? 0 : 0xa5, at, to));
    return `bytes ${at} to ${to} of ${bytes.length} overwritten`;
  }
  if (kind === 2) {
    fs.truncateSync(path, at);
    return `cut at ${at} of ${bytes.length}`;
  }
  fs.rmSync(path);
  return "removed";
}

/** What was written is there, or said to be lost; and nothing else is there. */
export function expectTold(store: LogStore, history: LogHistory, repair: RepairOfStore): void {
  const byShard = new Map(repair.shards.map((one) => [one.shard as number, one]));
  for (const [shard, records] of history.records) {
    const written = fold(records, records.length);
    const repaired = byShard.get(shard);
    for (const [name, stream] of written) {
      expectStream(store, shard as ShardId, name, stream, repaired);
      expectCells(store, shard as ShardId, name, records.flat(), stream.cells, repaired);
    }
  }
}

type Written = ReturnType<typeof fold> extends Map<string, infer Stream> ? Stream : never;

function expectStream(
  store: LogStore,
  shard: ShardId,
  name: string,
  { entries, keys }: Written,
  repaired: RepairedShard | undefined,
): void {
  const log = store.shard(shard);
  const place = `shard ${shard} ${name}`;
  const found = log.readForward(name, 0 as Seq, 100_000);
  const lost = repaired?.lost.find(({ stream }) => stream === name)?.ranges ?? [];
  const isLost = (seq: number): boolean => lost.some(({ from, to }) => from <= seq && seq <= to);
  if (found.length !== entries.length) {
    expect({ place, found: found.length, mayLackNewest: repaired?.mayLackNewest }).toEqual({
      place,
      found: Math.min(found.length, entries.length),
      mayLackNewest: true,
    });
  }
  for (const [index, entry] of found.entries()) {
    const { seq, lane, key, payload } = entries[index]!;
    const shown = { place, seq: entry.seq as number, lane: entry.lane, key: entry.key, text: textOf(entry.payload) };
    if (!isLost(seq)) expect(shown).toEqual({ place, seq, lane, key, text: payload });
    else expect(shown).toMatchObject({ place, seq, key: "", text: "" });
  }
  const isGone = (seq: number): boolean => seq > found.length || isLost(seq);
  for (const [key, hit] of keys) {
    const now = log.findKey(name, key);
    if (hit.value === null && !isGone(hit.seq))
      expect({ place, key, seq: now?.seq as number }).toEqual({ place, key, seq: hit.seq });
    if (hit.value !== null && (repaired === undefined || now !== undefined))
      expect({ place, key, value: now?.value && textOf(now.value) }).toEqual({ place, key, value: hit.value });
    if (hit.value !== null && now === undefined) expect(repaired!.found.length).toBeGreaterThan(0);
  }
}

function expectCells(
  store: LogStore,
  shard: ShardId,
  name: string,
  all: readonly Op[],
  cells: ReadonlyMap<string, string>,
  repaired: RepairedShard | undefined,
): void {
  const found = new Map([...store.shard(shard).cells(name)].map(([key, value]) => [key, textOf(value)]));
  const place = `cells of shard ${shard} ${name}`;
  if (repaired?.mayLackNewest !== true) return expect({ place, found }).toEqual({ place, found: new Map(cells) });
  for (const [key, value] of found) {
    const isOne = all.some((op) => op.kind === "cell" && op.stream === name && op.key === key && op.value === value);
    expect({ place, key, value, isOne }).toMatchObject({ isOne: true });
  }
}

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
