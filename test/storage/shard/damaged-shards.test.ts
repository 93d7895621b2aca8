/**
 * A damaged shard does not keep the others from being served; nothing of it is read, written, flushed over or thrown
 * away.
 */
import { describe, expect, test } from "bun:test";
import { CorruptionError, DamagedShardError } from "../../../storage/errors.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import type { LogStoreHooks, LogStoreOptions } from "../../../storage/store-options.ts";
import { DamagedShards, type Damage } from "../../../storage/shard/damaged-shards.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { FlushError } from "../../../storage/files/flush-error.ts";
import type { LogPosition, Seq, ShardId } from "../../../storage/types.ts";
import type { FileSystem } from "../../../storage/vfs/file-system.ts";
import { checkLog } from "../../../storage/log/local/check-log.ts";
import { FILE_HEADER_BYTES, FRAME_HEADER_BYTES } from "../../../storage/log/local/frame.ts";
import { until } from "../../support/wait.ts";
import { LogHistory } from "../log-history.ts";
import { entry, openStore, WAL_DIRECTORY } from "../log-fixture.ts";
import { MemorySegments } from "../files/memory-segments.ts";
import { randomFrom } from "../../support/random.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const FIRST = `${WAL_DIRECTORY}/0000000001.wal`;
const LIST = "/data/damaged/shards";
const isPresent = (disk: SimulatedDisk, path: string): boolean => disk.paths().includes(path);
const logFiles = (disk: SimulatedDisk): string[] =>
  disk.paths().filter((path) => path.startsWith(`${WAL_DIRECTORY}/`) && path.endsWith(".wal"));

type Told = { store: LogStore; damages: Damage[][]; shards: () => number[] };

async function openClosing(
  disk: SimulatedDisk,
  options: Partial<LogStoreOptions> = {},
  hooks: Partial<LogStoreHooks> = {},
): Promise<Told> {
  const damages: Damage[][] = [];
  const store = await openStore(
    disk,
    { damage: "close", ...options },
    { onDamage: (found) => void damages.push([...found]), ...hooks },
  );
  return { store, damages, shards: () => store.damaged.map(({ shard }) => shard as number) };
}

/** A frame for each of these shards, in this order. */
async function write(
  disk: SimulatedDisk,
  shards: number[],
  options: Partial<LogStoreOptions> = {},
): Promise<LogHistory> {
  const history = new LogHistory();
  const store = await openStore(disk, options);
  for (const [n, shard] of shards.entries()) {
    history.append(store, [entry(`message ${n}`, shard)]);
    await store.idle();
  }
  await store.close();
  return history;
}

/** Where the nth frame of a file begins. */
function frameAt(bytes: Buffer, n: number): number {
  let at = FILE_HEADER_BYTES;
  for (let frame = 0; frame < n; frame++) at += FRAME_HEADER_BYTES + bytes.readUInt32LE(at + 4);
  return at;
}

function change(disk: SimulatedDisk, path: string, how: (bytes: Buffer) => void): void {
  const bytes = disk.bytes(path);
  how(bytes);
  disk.overwrite(path, bytes);
}

const damageFrame = (disk: SimulatedDisk, n: number, byte = FRAME_HEADER_BYTES + 5): void =>
  change(disk, FIRST, (bytes) => void (bytes[frameAt(bytes, n) + byte]! ^= 1));

const without = (...shards: number[]): number[] =>
  Array.from({ length: 1000 }, (_, n) => n).filter((n) => !shards.includes(n));

function texts(store: LogStore, shard: number): string[] {
  const found = store.shard(shard as ShardId).readForward("@alice", 0 as Seq, 100);
  return found.map(({ payload }) => Buffer.from(payload).toString());
}

function append(store: LogStore, shard: number, text: string): void {
  const log = store.shard(shard as ShardId);
  const handle = new StreamHandle("@alice", log.head("@alice"));
  log.append({
    encode() {
      log.beginEntry(handle, "", "", (handle.headSeq + 1) as Seq, text.length);
      log.writer.utf8(text);
      log.endEntry();
    },
    committed() {},
    failed() {},
  });
}

describe("a damaged frame in the middle of the log", () => {
  test.each([
    ["its body", FRAME_HEADER_BYTES + 5],
    ["its header", 5],
  ])("(%s) closes the shards that lost records, or wrote nothing behind it, and no other", async (_, byte) => {
    const disk = new SimulatedDisk();
    await write(disk, [1, 2, 3, 4, 1, 3, 2]);
    damageFrame(disk, 2, byte);
    const { store, damages, shards } = await openClosing(disk);
    expect(shards()).toEqual(without(1, 2, 4));
    expect(damages.map((found) => found.length)).toEqual([997]);
    expect([texts(store, 1), texts(store, 2)]).toEqual([
      ["message 0", "message 4"],
      ["message 1", "message 6"],
    ]);
    for (const shard of [3, 5, 6]) expect(() => store.shard(shard as ShardId)).toThrow(DamagedShardError);
    const what = (shard: number): string => store.damaged.find((damage) => damage.shard === shard)!.what;
    expect(what(3)).toContain("shard 3 goes on with offset 2, but 1 is missing");
    expect(what(5)).toContain("wal/0000000001.wal: a frame fails its checksum");
    await store.close();
  });

  test("keeps the same shards closed at every later start, and what the others write is there", async () => {
    const disk = new SimulatedDisk();
    await write(disk, [1, 2, 1]);
    damageFrame(disk, 1);
    for (let start = 0; start < 3; start++) {
      const { store, shards } = await openClosing(disk);
      expect(shards()).toEqual(without(1));
      append(store, 1, `start ${start}`);
      await store.close();
    }
    const { store } = await openClosing(disk);
    expect(texts(store, 1)).toEqual(["message 0", "message 2", "start 0", "start 1", "start 2"]);
  });

  test("closes no shard whose files have what comes behind it", async () => {
    const disk = new SimulatedDisk();
    await write(disk, [1, 3, 3, 3]);
    const segments = new MemorySegments();
    const store = await openStore(disk.afterCrash("kill", randomFrom(1)), { segments });
    await store.flushAll(() => false);
    await store.close();
    damageFrame(disk, 2);
    expect((await openClosing(disk, { segments })).shards()).toEqual(without(3));
  });
});

test("a damaged part of the log is kept as it stands, and what is erased is not said to be gone from it", async () => {
  const disk = new SimulatedDisk();
  await write(disk, [1, 2, 1]);
  damageFrame(disk, 1);
  const bytes = disk.bytes(FIRST);
  const [from, to] = [frameAt(bytes, 1), frameAt(bytes, 2)];
  const { store } = await openClosing(disk);
  expect(await store.eraseNow().catch((error: unknown) => error)).toBeInstanceOf(FlushError);
  await store.close();
  expect(isPresent(disk, FIRST)).toBe(false);
  expect(disk.bytes(`/data/damaged/0000000001-${from}.part`)).toEqual(bytes.subarray(from, to));
  const again = await openClosing(disk);
  expect(again.shards()).toEqual(without(1));
  expect(await again.store.eraseNow().catch((error: unknown) => error)).toBeInstanceOf(FlushError);
});

test("a log file that is missing, or ends in zeros, closes the shards that may have had records there", async () => {
  const disk = new SimulatedDisk();
  await write(disk, [1, 2, 1, 2, 1, 2, 3, 1], { walFileBytes: 200 });
  const files = logFiles(disk);
  expect(files.length).toBeGreaterThan(4);
  const without2 = disk.afterCrash("kill", randomFrom(1));
  without2.files.remove(files[1]!);
  const missing = await openClosing(without2);
  expect(missing.shards()).toContain(2);
  expect(missing.shards()).toHaveLength(1000 - [1, 3].filter((shard) => !missing.shards().includes(shard)).length);
  change(disk, files[1]!, (bytes) => void bytes.fill(0, FILE_HEADER_BYTES));
  expect((await openClosing(disk)).shards()).toEqual(missing.shards());
});

test("a damaged file header in front of whole frames costs nothing and closes nobody", async () => {
  const disk = new SimulatedDisk();
  const history = await write(disk, [1, 2, 1, 2, 1, 2, 3, 1], { walFileBytes: 200 });
  const [first, second] = logFiles(disk);
  for (const path of [first!, second!]) change(disk, path, (bytes) => void (bytes[14]! ^= 1));
  const { store, shards } = await openClosing(disk);
  expect(shards()).toEqual([]);
  expect(store.recovery.gaps).toBe(2);
  history.expectIn(store);
});

test("a log in which nothing can be trusted is refused", async () => {
  const disk = new SimulatedDisk();
  await write(disk, [1, 2, 3]);
  damageFrame(disk, 2);
  const refused: unknown = await openClosing(disk).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(CorruptionError);
  expect(isPresent(disk, LIST)).toBe(false);
});

test("damage is refused at the opening where that is asked for, and as long as the list names a shard", async () => {
  const disk = new SimulatedDisk();
  await write(disk, [1, 2, 1]);
  damageFrame(disk, 1);
  const refused = (): Promise<unknown> =>
    openStore(disk, { damage: "refuse to open" }).catch((error: unknown) => error);
  expect(await refused()).toBeInstanceOf(CorruptionError);
  expect(isPresent(disk, LIST)).toBe(false);
  await (await openClosing(disk)).store.close();
  expect(isPresent(disk, LIST)).toBe(true);
  for (const damage of ["refuse to open", "refuse"] as const)
    expect(await openStore(disk, { damage }).catch((error: unknown) => error)).toBeInstanceOf(CorruptionError);
});

test("a list of damaged shards that is not what was written is refused", async () => {
  const disk = new SimulatedDisk();
  await write(disk, [1, 2, 1]);
  damageFrame(disk, 1);
  await (await openClosing(disk)).store.close();
  const whole = disk.bytes(LIST);
  for (let byte = 0; byte < whole.length; byte += 97) {
    const bytes = Buffer.from(whole);
    bytes[byte]! ^= 1;
    disk.overwrite(LIST, bytes);
    expect(await openClosing(disk).catch((error: unknown) => error)).toBeInstanceOf(CorruptionError);
  }
  disk.overwrite(LIST, whole);
  expect((await openClosing(disk)).shards()).toEqual(without(1));
});

test.each(["one\rline", "one\u2028line", "one\nline", ""])(
  "a list that was told %j of a shard can be read again",
  async (what) => {
    const disk = new SimulatedDisk();
    disk.files.makeDirectory("/data");
    const list = new DamagedShards("/data", disk.files);
    const range = { first: 1 as LogPosition, last: 2 as LogPosition };
    list.add({ shard: 7 as ShardId, what, ...range });
    list.save();
    const read = new DamagedShards("/data", disk.files);
    read.load();
    expect(read.list()).toEqual([{ shard: 7 as ShardId, what: what === "" ? "damaged" : "one line", ...range }]);
  },
);

describe("damage that is met while the store is open", () => {
  const met = (segments: MemorySegments, shard: number): void =>
    segments.onDamage(
      shard as ShardId,
      new CorruptionError("/data/shards/007/state.db", "table page", "checksum does not match"),
    );

  test("closes the shard: what was appended before is written and told, and nothing is appended after", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    const { store, damages } = await openClosing(disk, { segments });
    const history = new LogHistory();
    const log = store.shard(7 as ShardId);
    history.append(store, [entry("before"), entry("of another", 8)]);
    met(segments, 7);
    expect(damages).toMatchObject([[{ shard: 7, what: "shards/007/state.db: checksum does not match at table page" }]]);
    await store.idle();
    expect(history.acked).toEqual(
      new Map([
        [7, 1],
        [8, 1],
      ]),
    );
    const source = { encode() {}, committed() {}, failed() {} };
    expect(() => log.append(source)).toThrow(DamagedShardError);
    expect(() => store.shard(7 as ShardId)).toThrow(DamagedShardError);
    history.append(store, [entry("another", 8)]);
    await store.idle();
    met(segments, 7);
    expect(damages).toHaveLength(1);
    await store.close();
    expect((await openClosing(disk, { segments })).shards()).toEqual([7]);
  });

  test("the log is trimmed for the others, the records of the shard are taken aside, and nothing of it is flushed", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    const { store } = await openClosing(disk, { segments, walFileBytes: 300 });
    const history = new LogHistory();
    const append = async (text: string, shard: number): Promise<void> => {
      history.append(store, [entry(text, shard)]);
      await store.idle();
    };
    for (let n = 0; n < 6; n++) await append(`flushed ${n}`, 7);
    await store.flushAll(() => false);
    const flushed = segments.flushed.length;
    for (let n = 0; n < 6; n++) await append(`in the log ${n}`, 7);
    met(segments, 7);
    for (let n = 0; n < 30; n++) await append(`of another ${n}`, 8);
    await store.flushAll(() => false);
    expect(logFiles(disk).length).toBeLessThan(3);
    expect(segments.flushed.slice(flushed).map(({ shard }) => shard as number)).toEqual([8]);
    await store.close();
    const kept = disk.paths().filter((path) => /^\/data\/damaged\/\d+\.wal$/.test(path));
    const bytes = Buffer.concat(kept.map((path) => disk.bytes(path))).toString("latin1");
    for (let n = 0; n < 6; n++) expect(bytes).toContain(`in the log ${n}`);
    expect([bytes.includes("flushed 0"), bytes.includes("of another")]).toEqual([false, false]);
    const inLog = checkLog("/data/damaged", disk.files).shards;
    expect([...inLog.keys()]).toEqual([7 as ShardId]);
    expect(inLog.get(7 as ShardId)!.lastOffset as number).toBe(12);
    // A later start has none of it in its log, and does not go on with an offset that was given before.
    const again = await openClosing(disk, { segments });
    expect(again.shards()).toEqual([7]);
    expect(texts(again.store, 8)).toHaveLength(30);
  });

  test("what is erased is gone from what is kept for a damaged shard, too", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    const { store } = await openClosing(disk, { segments, walFileBytes: 300 });
    const history = new LogHistory();
    history.append(store, [entry("in the log"), entry("of another", 8)]);
    await store.idle();
    met(segments, 7);
    await store.eraseNow();
    await store.close();
    const all = Buffer.concat(disk.paths().map((path) => disk.bytes(path))).toString("latin1");
    expect([all.includes("in the log"), all.includes("of another")]).toEqual([true, false]);
  });

  test("a flush that meets it closes its shard and does not keep others waiting", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    let failures = 0;
    const { store, shards } = await openClosing(disk, { segments }, { onFlushFailure: () => void failures++ });
    const history = new LogHistory();
    history.append(store, [entry("one"), entry("two", 8)]);
    await store.idle();
    segments.failNextFlush = new FlushError("shards/007/state.db: checksum does not match", "CorruptionError");
    await store.flushAll(() => false);
    expect([shards(), failures]).toEqual([[7], 0]);
    expect(segments.flushed.map(({ shard }) => shard as number)).toEqual([8]);
    expect(store.pressure).toBe(0);
  });

  test("no log file goes before the shard is noted on disk", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    let isFull = true;
    const files: FileSystem = {
      ...disk.files,
      openDurable(path, create) {
        if (isFull && path.includes("damaged")) throw Object.assign(new Error("full"), { code: "ENOSPC" });
        return disk.files.openDurable(path, create);
      },
    };
    const { store } = await openClosing(disk, { files, segments, walFileBytes: 300 });
    const history = new LogHistory();
    history.append(store, [entry("in the log")]);
    await store.idle();
    met(segments, 7);
    const append = async (): Promise<void> => {
      for (let n = 0; n < 10; n++) {
        history.append(store, [entry(`of another ${n}`, 8)]);
        await store.idle();
      }
      await store.flushAll(() => false);
    };
    await append();
    expect([isPresent(disk, FIRST), isPresent(disk, LIST)]).toEqual([true, false]);
    isFull = false;
    await append();
    await until("the file is taken aside", () => !isPresent(disk, FIRST));
    expect(isPresent(disk, LIST)).toBe(true);
    expect(isPresent(disk, "/data/damaged/0000000001.wal")).toBe(true);
  });

  test("a store that follows one whose log failed knows the shard is closed", async () => {
    const disk = new SimulatedDisk();
    const segments = new MemorySegments();
    const { store } = await openClosing(disk, { segments });
    const history = new LogHistory();
    history.append(store, [entry("one"), entry("two", 8)]);
    await store.idle();
    met(segments, 7);
    disk.fail("write", 1);
    history.append(store, [entry("never written", 8)]);
    await store.idle();
    expect(store.failed).toBeDefined();
    const next = await store.reopen({
      checkpoint: () => new Uint8Array(0),
      beforeWrite() {},
      onFlushFailure() {},
      onListenerError() {},
      onFailure() {},
    });
    expect(next.damaged.map(({ shard }) => shard as number)).toEqual([7]);
    expect(texts(next, 8)).toEqual(["two"]);
  });
});
