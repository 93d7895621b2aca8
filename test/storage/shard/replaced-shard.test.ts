/** The files of a shard are replaced by those of another node, as a move does it: what was here before is gone. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogStore } from "../../../storage/log-store.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import { exportShard } from "../../../storage/tools/export-shard.ts";
import { placeShard, unpackShard } from "../../../storage/tools/import-shard.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Offset, Seq, ShardId } from "../../../storage/types.ts";
import { QUIET } from "../log-fixture.ts";

const SHARD = 42 as ShardId;
const ALL = "@ann";

let place: string;
let source: LogStore;
let target: LogStore;
let failures: unknown[];
beforeEach(async () => {
  failures = [];
  place = fs.mkdtempSync(join(tmpdir(), "parley-replaced-"));
  source = await open("source");
  target = await open("target");
});
afterEach(async () => {
  await source.close();
  await target.close();
  fs.rmSync(place, { recursive: true, force: true });
});

const at = (name: string): string => join(place, name);
const open = (name: string): Promise<LogStore> =>
  openLogStore({ directory: at(name) }, { ...QUIET, onFlushFailure: (error) => failures.push(error) });
const flush = (store: LogStore): Promise<void> => store.flushAll(() => false);

/** The source's next records, each with an entry that says its number. */
function write(records: number): Promise<void[]> {
  const log = source.shard(SHARD);
  const handle = new StreamHandle(ALL, log.head(ALL));
  return Promise.all(
    Array.from({ length: records }, () => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const encode = (): void => {
        log.beginEntry(handle, "@bob", "", (handle.appendedSeq + 1) as Seq, 100);
        const text = Buffer.from(`number ${handle.appendedSeq}`);
        log.writer.raw(text);
        log.endEntry();
      };
      log.append({ encode, committed: resolve, failed: reject });
      return promise;
    }),
  );
}

/** The source's records above `after` come to the target's log. */
async function follow(after: number): Promise<void> {
  const log = target.shard(SHARD);
  const end = source.shard(SHARD).follow(after as Offset, (bytes, from, to) => {
    log.appendCopy(Buffer.from(bytes.subarray(from, to)), { committed: () => {}, failed: () => {} });
  });
  end();
  await target.idle();
}

/** The source's files take the place of the target's. @returns offset of their last record */
async function copyFiles(): Promise<number> {
  const file = at("copy");
  await source.settle(SHARD);
  const copied = await exportShard(at("source"), SHARD, file, async () => {});
  unpackShard(at("target"), file);
  await target.replaceShard(SHARD, async () => placeShard(at("target"), SHARD));
  return copied!.flushedThrough;
}

function mustHave(store: LogStore, records: number): void {
  const texts = store.shard(SHARD).readForward(ALL, 0 as Seq, 1000);
  expect(texts.map(({ payload }) => Buffer.from(payload).toString())).toEqual(
    Array.from({ length: records }, (_, index) => `number ${index + 1}`),
  );
}

/** Now, flushed, after a restart, and to the checker of directories. */
async function mustBeWhole(records: number): Promise<void> {
  mustHave(target, records);
  await flush(target);
  expect(failures).toEqual([]);
  mustHave(target, records);
  await target.close();
  target = await open("target");
  mustHave(target, records);
  await target.close();
  expect((await verifyDirectory(at("target"), { companions: { constant: [], changing: [] } })).findings).toEqual([]);
  target = await open("target");
}

test("layers of before in recent.db are not mixed with the new files", async () => {
  await write(5);
  await follow(0);
  await flush(target);
  await write(5);
  await flush(source);
  expect(await copyFiles()).toBe(10);
  await write(5);
  await follow(10);
  await mustBeWhole(15);
});

test("a second copy may reach less far than what the first one has brought and flushed", async () => {
  await write(5);
  await flush(source);
  await copyFiles();
  await write(5);
  await follow(5);
  await flush(target);
  // As many records do: they go to the shard's own files.
  await target.settle(SHARD);
  expect(await copyFiles()).toBe(5);
  await follow(5);
  await mustBeWhole(10);
});

test("records of before that were not flushed are not mixed with the new files", async () => {
  await write(8);
  await follow(0);
  await flush(source);
  await write(2);
  await copyFiles();
  await follow(8);
  await write(3);
  await follow(10);
  await mustBeWhole(13);
});

test("a crash while the new files take their place leaves the shard whole", async () => {
  await write(6);
  await follow(0);
  await flush(source);
  await source.settle(SHARD);
  await exportShard(at("source"), SHARD, at("copy"), async () => {});
  unpackShard(at("target"), at("copy"));
  const shards = join(at("target"), "shards");
  const crash = async (): Promise<void> => {
    // As `placeShard`, which is killed before its last step.
    fs.renameSync(join(shards, "042.import"), join(shards, "042.placed"));
    fs.rmSync(join(shards, "042"), { recursive: true });
    throw new Error("killed");
  };
  await expect(target.replaceShard(SHARD, crash)).rejects.toThrow("killed");
  await target.close();
  target = await open("target");
  mustHave(target, 6);
  expect(fs.readdirSync(shards)).not.toContain("042.placed");
  await mustBeWhole(6);
});

test("when the new files cannot be placed, the shard is as it was", async () => {
  await write(4);
  await follow(0);
  const failing = target.replaceShard(SHARD, () => Promise.reject(new Error("no place")));
  await expect(failing).rejects.toThrow("no place");
  await write(2);
  await follow(4);
  await mustBeWhole(6);
});
