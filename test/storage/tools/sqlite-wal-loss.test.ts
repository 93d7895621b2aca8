/**
 * SQLite takes whatever stands behind the first bad frame of a write-ahead file for a torn tail. What then is gone was
 * flushed, and either the log still has it, or other files say that it must be there.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { openSegmentStore } from "../../../storage/files/sqlite-segments.ts";
import type { LogStore } from "../../../storage/log-store.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { randomFrom } from "../../support/random.ts";
import { SEED } from "../../support/seed.ts";

const SHARDS = [3, 5, 8] as ShardId[];
const PER_FLUSH = 40;
const fail = (error: unknown): never => {
  throw error;
};

let directory: string;
/** As `kill -9` leaves the directory, with how many entries each shard had acknowledged. */
const crashes: { at: string; acknowledged: number }[] = [];

/** The first shard is placed entry by entry, the others have little. */
function open(at: string): Promise<LogStore> {
  const segments = openSegmentStore({ dir: at, recentBytesMax: 6000, recentItemsMax: 20 });
  return openLogStore(
    { directory: at, walFileBytes: 8 << 10, segments },
    {
      checkpoint: () => new Uint8Array(0),
      beforeWrite: () => {},
      onListenerError: fail,
      onFlushFailure: fail,
      onFailure: fail,
    },
  );
}

function say(log: ShardLog, handle: StreamHandle, text: string): Promise<void> {
  const payload = Buffer.from(text);
  return new Promise((committed, failed) => {
    const encode = (): void => {
      log.beginEntry(handle, "@bob", `d-${handle.appendedSeq}`, (handle.appendedSeq + 1) as Seq, payload.length);
      log.writer.raw(payload);
      log.endEntry();
    };
    log.append({ encode, committed, failed });
  });
}

beforeAll(async () => {
  directory = fs.mkdtempSync(join(tmpdir(), "wal-loss-"));
  const at = join(directory, "data");
  fs.mkdirSync(at);
  const store = await open(at);
  const handles = SHARDS.map(() => new StreamHandle("@alice", undefined));
  for (let flush = 1; flush <= 6; flush++) {
    for (let i = 0; i < PER_FLUSH; i++)
      await Promise.all(SHARDS.map((shard, s) => say(store.shard(shard), handles[s]!, `${crypto.randomUUID()} ${i}`)));
    await store.flushAll(() => false);
    const crash = join(directory, `crash-${flush}`);
    fs.cpSync(at, crash, { recursive: true });
    crashes.push({ at: crash, acknowledged: flush * PER_FLUSH });
  }
  await store.close();
});
afterAll(() => fs.rmSync(directory, { recursive: true }));

const walsOf = (at: string): string[] =>
  (fs.readdirSync(join(at, "shards"), { recursive: true }) as string[])
    .filter((name) => name.endsWith("-wal") && fs.statSync(join(at, "shards", name)).size > 0)
    .map((name) => join("shards", name));

async function isReported(at: string): Promise<boolean> {
  const { findingCount } = await verifyDirectory(at, { companions: { constant: [], changing: [] } });
  return findingCount > 0;
}

/** How many entries a start serves of the shard that has the fewest; undefined where it refuses. */
async function served(at: string): Promise<number | undefined> {
  let store: LogStore | undefined;
  try {
    store = await open(at);
    const counts = SHARDS.map((shard) => store!.shard(shard).readForward("@alice", 0 as Seq, 10_000).length);
    return Math.min(...counts);
  } catch (error) {
    if (error instanceof CorruptionError) return undefined;
    throw error;
  } finally {
    await store?.close();
  }
}

test("a bit that flips in a write-ahead file of SQLite loses nothing, or verify reports it", async () => {
  const random = randomFrom(SEED);
  const kinds = new Map<string, number>();
  const changed = join(directory, "changed");
  for (const { at, acknowledged } of crashes) {
    expect(await isReported(at)).toBe(false);
    for (const wal of walsOf(at)) {
      for (let round = 0; round < 3; round++) {
        fs.cpSync(at, changed, { recursive: true });
        const bytes = fs.readFileSync(join(changed, wal));
        // The header, any frame, and the last one, each in turn.
        const [from, to] = [
          [0, 32],
          [32, bytes.length],
          [bytes.length - 536, bytes.length],
        ][round] as [number, number];
        const place = from + Math.floor(random() * (to - from));
        bytes[place]! ^= 1 << Math.floor(random() * 8);
        fs.writeFileSync(join(changed, wal), bytes);
        if (!(await isReported(changed)) && (await served(changed)) !== acknowledged)
          throw new Error(`${wal}, byte ${place} of ${bytes.length}: entries are gone and nothing is reported`);
        kinds.set(wal.replace(/\d+/g, "N"), (kinds.get(wal.replace(/\d+/g, "N")) ?? 0) + 1);
        fs.rmSync(changed, { recursive: true });
      }
    }
  }
  expect([...kinds.keys()].toSorted()).toEqual([
    "shards/N/segment-N.db-wal",
    "shards/N/state.db-wal",
    "shards/recent.db-wal",
  ]);
}, 60_000);
