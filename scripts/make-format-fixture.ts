/**
 * Makes the data directory that every later binary must open: `bun scripts/make-format-fixture.ts --version 1` writes
 * `test/storage/format/v1/`.
 *
 * Run it once, when the format of a version is final, and commit the result. From then on the directory counts, and
 * this script only documents how it was made. A new version gets its own directory beside the old ones.
 *
 * Its limits are so small that little data fills many files. It has log files with records that no segment has, one of
 * them an erasure; segments full and sealed, active, rewritten; blocks raw, LZ4 and zstd; layers of the shards' own
 * files and of `recent.db`, with shards that are only there; tails, timelines; tombstones, and entries that are only
 * noted to become some; keys with counters, rising and not, without, alone; cells, cleared ones too. `expected.json` is
 * what was written, not what was read back.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LogStore } from "../storage/log-store.ts";
import { openLogStore } from "../storage/open-store.ts";
import type { LogStoreHooks } from "../storage/store-options.ts";
import { CODEC_LZ4 } from "../storage/encoding/packing.ts";
import { openSegmentStore } from "../storage/files/sqlite-segments.ts";
import type { SegmentStore } from "../storage/files/segment-store.ts";
import { StreamHandle } from "../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../storage/types.ts";
import { FixtureModel } from "./format-fixture/model.ts";

const BYTES_MAX = 300_000;
const SEGMENTS = {
  segmentBytesMax: 6000,
  blockBytesMax: 1500,
  runEntriesMin: 6,
  recentItemsMax: 12,
  recentBytesMax: 2500,
  packing: { codec: CODEC_LZ4 },
} as const;

const fail = (error: unknown): never => {
  throw new Error("the store failed while the fixture was made", { cause: error });
};
const HOOKS: LogStoreHooks = {
  checkpoint: () => new Uint8Array(0),
  beforeWrite: () => {},
  onListenerError: fail,
  onFlushFailure: fail,
  onFailure: fail,
};

class Maker {
  readonly model = new FixtureModel();
  readonly #directory: string;
  readonly #handles = new Map<string, StreamHandle>();
  #segments: SegmentStore | undefined;
  #store: LogStore | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    this.#handles.clear();
    this.#segments = openSegmentStore({ dir: this.#directory, ...SEGMENTS });
    const options = {
      directory: this.#directory,
      segments: this.#segments,
      walFileBytes: 4096,
      memtableBytesMax: 1 << 30,
    };
    this.#store = await openLogStore({ ...options, walBytesMax: 1 << 30 }, HOOKS);
  }

  async close(): Promise<void> {
    await this.#store!.close();
  }

  flush(): Promise<void> {
    return this.#store!.flushAll(() => false);
  }

  eraseNow(): Promise<void> {
    return this.#store!.eraseNow();
  }

  async compact(shard: number): Promise<void> {
    await this.#segments!.compact(shard as ShardId);
  }

  /** Each call is one record, durable when it resolves. */
  say(shard: number, stream: string, lane: string, key: string, text: string): Promise<void> {
    return this.#record(shard, (log, offset) => {
      const payload = Buffer.from(text);
      const handle = this.#handle(shard, stream);
      const seq = this.model.entry(shard, stream, { offset, lane, key, payload: text });
      log.beginEntry(handle, lane, key, seq as Seq, payload.length);
      log.writer.raw(payload);
      log.endEntry();
    });
  }

  cell(shard: number, stream: string, key: string, value: string | null): Promise<void> {
    return this.#record(shard, (log) => {
      log.putCell(this.#handle(shard, stream), key, value === null ? null : Buffer.from(value));
      this.model.cell(shard, stream, key, value);
    });
  }

  key(shard: number, stream: string, key: string, seq: number, value: string): Promise<void> {
    return this.#record(shard, (log) => {
      log.putKey(this.#handle(shard, stream), key, seq as Seq, Buffer.from(value));
      this.model.key(shard, stream, key, seq, value);
    });
  }

  erase(shard: number, stream: string, lane: string | undefined, fromSeq: number, toSeq: number): Promise<void> {
    return this.#record(shard, (log) => {
      log.erase(this.#handle(shard, stream), lane, fromSeq as Seq, toSeq as Seq);
      this.model.erase(shard, stream, lane, fromSeq, toSeq);
    });
  }

  #record(shard: number, write: (log: ReturnType<LogStore["shard"]>, offset: number) => void): Promise<void> {
    const log = this.#store!.shard(shard as ShardId);
    return new Promise((committed, failed) => {
      log.append({ encode: () => write(log, this.model.nextOffset(shard)), committed, failed });
    });
  }

  #handle(shard: number, stream: string): StreamHandle {
    const name = `${shard} ${stream}`;
    let handle = this.#handles.get(name);
    if (handle === undefined) {
      handle = new StreamHandle(stream, this.#store!.shard(shard as ShardId).head(stream));
      this.#handles.set(name, handle);
    }
    return handle;
  }
}

const WORDS =
  "the kernel module does not load after an upgrade, try dpkg --reconfigure and reboot, ça va? Ωmega ✓".split(" ");
const talk = (n: number): string =>
  Array.from({ length: 6 }, (_, k) => WORDS[(n * (k + 3) + k * k) % WORDS.length]).join(" ");
/** Text that cannot be compressed, so that some block is raw. */
const noise = (n: number): string => {
  let state = n + 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647);
  return Array.from({ length: 700 }, () => String.fromCharCode(33 + (next() % 94))).join("");
};

/** Entries of two users and a group in three shards, some with keys of every kind. */
async function chat(maker: Maker, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n++) {
    await maker.say(7, "@alice", `@peer${(n * n + n) % 5}`, n % 2 === 0 ? `d7k2-${n}` : "", `${n} ${talk(n)}`);
    if (n % 3 === 0) await maker.say(7, "@carol", "@alice", `random-${(n * 7919) % 1000}-key`, `${n} ${talk(n + 1)}`);
    if (n % 4 === 0) await maker.say(42, "#team", "m", `alice/d7k2-${1000 - n}`, `${n} ${talk(n + 2)}`);
    if (n % 11 === 0) await maker.say(42, "#team", "", "", `{"by":"alice","change":${n}}`);
    if (n % 7 === 0) await maker.key(7, "@alice", `g-${n}`, n + 1, "#team");
    if (n % 9 === 0) await maker.key(7, "@alice", `posted-${n}-x`, n + 1, "#elsewhere");
    if (n % 5 === 0) await maker.cell(7, "@alice", `name${n % 4}`, n % 10 === 0 ? null : `value ${n}`);
  }
}

async function make(directory: string): Promise<FixtureModel> {
  const maker = new Maker(directory);
  await maker.open();
  for (let round = 0; round < 5; round++) {
    await chat(maker, round * 40, round * 40 + 40);
    await maker.flush();
  }
  await maker.erase(7, "@alice", "@peer2", 20, 90);
  await maker.eraseNow();
  await maker.compact(7);
  for (let n = 0; n < 16; n++) await maker.say(7, "@noisy", "@static", "", noise(n));
  for (const [from, to] of [
    [200, 245],
    [245, 256],
    [256, 260],
  ] as const) {
    await chat(maker, from, to);
    await maker.flush();
  }
  await maker.say(999, "@small", "@other", "one", "a shard with one message");
  await maker.cell(500, "@cells-only", "empty", "");
  await maker.erase(7, "@carol", undefined, 3, 12);
  await maker.flush();
  await chat(maker, 260, 266);
  await maker.flush();
  await maker.close();
  await maker.open();
  await chat(maker, 266, 300);
  await maker.erase(7, "@alice", undefined, 225, 280);
  await maker.cell(7, "@alice", "last", "in the log alone");
  await maker.close();
  return maker.model;
}

function bytesIn(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0);
}

const { values } = parseArgs({ options: { version: { type: "string" }, out: { type: "string" } } });
if (values.version === undefined) throw new Error("--version N is missing: the version whose fixture is made");
const out = values.out ?? join(import.meta.dir, "../test/storage/format", `v${values.version}`);
rmSync(out, { recursive: true, force: true });
mkdirSync(join(out, "data"), { recursive: true });
const model = await make(join(out, "data"));
writeFileSync(join(out, "expected.json"), `${JSON.stringify(model.expected(), null, 1)}\n`);
const bytes = bytesIn(out);
if (bytes > BYTES_MAX) throw new Error(`${out} has ${bytes} bytes, more than ${BYTES_MAX}`);
console.log(`${out}: ${bytes} bytes`);
