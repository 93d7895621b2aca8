/**
 * The process that is killed: `writer.ts DIRECTORY SEED ROUND`. It writes batches until then, and prints a line for
 * each acknowledged record: `shard offset`. The line is in the pipe before the store continues, so no acknowledged
 * record is missing there.
 */
import { writeSync } from "node:fs";
import type { LogStore } from "../../storage/log-store.ts";
import { openLogStore } from "../../storage/open-store.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../storage/types.ts";
import { contentOf, LIMITS, payloadOf, randomOf, SHARDS, type BatchTag } from "./content.ts";

const BATCH_RECORDS_MAX = 8;
const WAITING_MAX = 64;
const FLUSH_SHARE = 0.01;
const COMPACT_SHARE = 0.003;

const [directory, seedText, roundText] = process.argv.slice(2);
const seed = Number(seedText);
const random = randomOf(seed, Number(roundText));
const handles = new Map<string, StreamHandle>();
const nextSeqs = new Map<string, number>();
const nextOffsets = new Map<number, number>();
let waiting = 0;

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function handleOf(log: ShardLog, stream: string): StreamHandle {
  const id = `${log.shard} ${stream}`;
  let handle = handles.get(id);
  if (handle === undefined) {
    handle = new StreamHandle(stream, log.head(stream));
    handles.set(id, handle);
    nextSeqs.set(id, handle.headSeq + 1);
  }
  return handle;
}

function append(store: LogStore, shard: number, tag: BatchTag): void {
  const log = store.shard(shard as ShardId);
  const offset = nextOffsets.get(shard) ?? log.durableThrough + 1;
  nextOffsets.set(shard, offset + 1);
  const { stream, lane, key, text, cell } = contentOf(seed, shard, offset);
  const handle = handleOf(log, stream);
  const id = `${shard} ${stream}`;
  const seq = nextSeqs.get(id)!;
  nextSeqs.set(id, seq + 1);
  const payload = payloadOf(tag, text);
  waiting++;
  log.append({
    encode() {
      log.beginEntry(handle, lane, key, seq as Seq, payload.length * 3);
      log.writer.utf8(payload);
      log.endEntry();
      if (cell !== undefined) log.putCell(handle, cell.key, cell.value === null ? null : Buffer.from(cell.value));
    },
    committed: () => {
      waiting--;
      say(`${shard} ${offset}`);
    },
    failed: (error) => {
      throw error;
    },
  });
}

/** Runs in parallel: files appear and disappear while others are written. */
function compact(shard: number): void {
  store.compact(shard as ShardId).catch((error: unknown) => {
    throw error;
  });
}

const store = await openLogStore(
  { directory: directory!, ...LIMITS },
  {
    checkpoint: () => new Uint8Array(0),
    beforeWrite: () => {},
    onFlushFailure: (error) => {
      throw error;
    },
    onListenerError: (error) => {
      throw error;
    },
    onFailure: (error) => {
      throw error;
    },
  },
);
say("ready");
for (let batch = 1; ; batch++) {
  const count = 1 + Math.floor(random() * BATCH_RECORDS_MAX);
  const tag = { batch: `${roundText}.${batch}`, count };
  for (let n = 0; n < count; n++) append(store, SHARDS[Math.floor(random() * SHARDS.length)]!, tag);
  if (random() < COMPACT_SHARE) compact(SHARDS[Math.floor(random() * SHARDS.length)]!);
  if (random() < FLUSH_SHARE) await store.flushAll(() => false);
  else if (waiting > WAITING_MAX || random() < 0.3) await store.idle();
  else if (random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
  // A pause, so that the log gets marks.
  if (random() < 0.01) await Bun.sleep(10);
  while (store.pressure > 1) await Bun.sleep(1);
}
