/**
 * Real data directories of every version, and what each must answer. They are never made anew: `scripts/make-format-fixture.ts` says how each came about.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FixtureContent, FixtureStream } from "../../../scripts/format-fixture/model.ts";
import { FormatError } from "../../../storage/errors.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import type { LogStoreHooks } from "../../../storage/store-options.ts";
import { recentPath, segmentPath, statePath } from "../../../storage/files/sqlite/paths.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { SqlDatabase } from "../../../storage/files/sqlite/database.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Seq, ShardId, StoredEntry } from "../../../storage/types.ts";

const VERSIONS = fs.readdirSync(import.meta.dir).filter((name) => /^v\d+$/.test(name));
const NEVER = Number.MAX_SAFE_INTEGER as Seq;
const COMPANIONS = { constant: [], changing: [] };

let dir: string;
let open: LogStore[];

beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "format-"));
  open = [];
});

afterEach(async () => {
  for (const store of open) await store.close();
  fs.rmSync(dir, { recursive: true, force: true });
});

function copied(version: string): FixtureContent {
  fs.cpSync(join(import.meta.dir, version, "data"), dir, { recursive: true });
  return JSON.parse(fs.readFileSync(join(import.meta.dir, version, "expected.json"), "utf8")) as FixtureContent;
}

async function start(): Promise<LogStore> {
  const fail = (error: unknown): never => {
    throw error;
  };
  const hooks: LogStoreHooks = {
    checkpoint: () => new Uint8Array(0),
    beforeWrite: () => {},
    onListenerError: fail,
    onFlushFailure: fail,
    onFailure: fail,
  };
  const store = await openLogStore({ directory: dir }, hooks);
  open.push(store);
  return store;
}

function plain(entries: StoredEntry[]): FixtureStream["entries"] {
  return entries.map(({ seq, offset, lane, key, payload }) => {
    return { seq, offset, lane, key, payload: Buffer.from(payload).toString() };
  });
}

function expectContent(store: LogStore, expected: FixtureContent): void {
  for (const [shard, { durableThrough, streams }] of Object.entries(expected)) {
    const log = store.shard(Number(shard) as ShardId);
    expect([shard, log.durableThrough as number]).toEqual([shard, durableThrough]);
    for (const [name, stream] of Object.entries(streams)) expectStream(log, name, stream);
  }
}

function expectStream(log: ShardLog, name: string, stream: FixtureStream): void {
  const { streamNo, headSeq, entries } = stream;
  expect(log.head(name)).toMatchObject({ streamNo, headSeq });
  expect(log.streamName(streamNo)).toBe(name);
  expect(plain(log.readForward(name, 0 as Seq, 100_000))).toEqual(entries);
  for (const lane of new Set(entries.map((entry) => entry.lane))) {
    const ofLane = entries.filter((entry) => entry.lane === lane);
    expect(plain(log.readLaneForward(name, lane, 0 as Seq, 100_000))).toEqual(ofLane);
    expect(plain(log.readLaneBackward(name, lane, NEVER, 30))).toEqual(ofLane.slice(-30));
  }
  const cells = [...log.cells(name)].map(([key, value]) => [key, Buffer.from(value).toString()]);
  expect(Object.fromEntries(cells)).toEqual(stream.cells);
  for (const [key, hit] of Object.entries(stream.keys)) {
    const found = log.findKey(name, key);
    const value = found?.value == null ? null : Buffer.from(found.value).toString();
    expect({ key, seq: found?.seq as number, value }).toEqual({ key, ...hit });
  }
  for (const key of stream.gone) expect([key, log.findKey(name, key)]).toEqual([key, undefined]);
}

test("there is a fixture of every version up to now", () => {
  expect(VERSIONS).toContain("v1");
});

describe.each(VERSIONS)("a data directory of %s", (version) => {
  test("is opened, and every read answers what was written", async () => {
    const expected = copied(version);
    expect(Object.values(expected["7"]!.streams).some((stream) => stream.gone.length > 0)).toBe(true);
    expectContent(await start(), expected);
  });

  test("takes flushes and finishes erasures, and answers the same, now and when opened again", async () => {
    const expected = copied(version);
    const store = await start();
    await store.flushAll(() => false);
    expectContent(store, expected);
    await store.eraseNow();
    expectContent(store, expected);
    const log = store.shard(7 as ShardId);
    const alice = expected["7"]!.streams["@alice"]!;
    const seq = alice.headSeq + 1;
    await new Promise<void>((resolve, reject) => {
      const handle = new StreamHandle("@alice", log.head("@alice"));
      const encode = (): void => {
        log.beginEntry(handle, "@peer2", "d7k2-99999", seq as Seq, 10);
        log.writer.raw(Buffer.from("later"));
        log.endEntry();
      };
      log.append({ encode, committed: resolve, failed: reject });
    });
    alice.headSeq = seq;
    expected["7"]!.durableThrough++;
    const entry = { seq, offset: expected["7"]!.durableThrough, lane: "@peer2", key: "d7k2-99999", payload: "later" };
    alice.entries.push(entry);
    alice.keys["d7k2-99999"] = { seq, value: null };
    await store.flushAll(() => false);
    await open.pop()!.close();
    expectContent(await start(), expected);
  });

  test("is whole: verify finds nothing", async () => {
    copied(version);
    const { findings } = await verifyDirectory(dir, { companions: COMPANIONS });
    expect(findings).toEqual([]);
  });

  test("is refused with its file when it says that it is of the next version", async () => {
    const expected = copied(version);
    const shard = 7 as ShardId;
    const segment = fs.readdirSync(join(dir, "shards/007")).find((name) => name.startsWith("segment-"))!;
    const segmentFile = segmentPath(dir, shard, Number(/\d+/.exec(segment)![0]));
    for (const path of [recentPath(dir), statePath(dir, shard), segmentFile]) {
      const version = raiseVersion(path, 1);
      const refused = start().then((store) => expectContent(store, expected));
      expect(String(await refused.catch((error: unknown) => error))).toContain(`${path}: format version ${version}`);
      await Promise.all(open.splice(0).map((store) => store.close()));
      raiseVersion(path, -1);
    }
    const log = join(dir, "wal", fs.readdirSync(join(dir, "wal")).sort()[0]!);
    raiseLogVersion(log);
    expect(await start().catch((error: unknown) => error)).toBeInstanceOf(FormatError);
  });
});

/** @returns the new version */
function raiseVersion(path: string, by: number): number {
  const db = new SqlDatabase(path, "readwrite");
  const version = (db.pragma("user_version") as number) + by;
  db.pragma(`user_version = ${version}`);
  db.close();
  return version;
}

/** The head of a log file, with its checksum, as `storage/README.md` draws it. */
function raiseLogVersion(path: string): void {
  const bytes = fs.readFileSync(path);
  bytes.writeUInt32LE(bytes.readUInt32LE(8) + 1, 8);
  bytes.writeUInt32LE(Bun.hash.crc32(bytes.subarray(0, 20)), 20);
  fs.writeFileSync(path, bytes);
}
