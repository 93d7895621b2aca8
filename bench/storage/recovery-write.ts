/**
 * Writes a log of a given size as LogStore does, without syncs and without trimming, for recovery-open.ts to recover.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LogStore } from "../../storage/log-store.ts";
import type { FileSystem } from "../../storage/vfs/file-system.ts";
import { loadTexts } from "../measure/texts.ts";
import { Chat, RECORDS_PER_MESSAGE } from "./chat.ts";
import type { PartContext } from "./part.ts";
import { forgetfulSegments, MIB, openLog, openSegments, unsyncedFiles, type Reach } from "./stores.ts";

export type WriteLogParameters = {
  corpus: string | undefined;
  linesMax: number;
  bytes: number;
  walFileBytes: number;
  users: number;
  shards: number;
  peers: number;
  /** This many bytes of records, the last ones, are not in segments. A file beside the log tells where segments end. */
  unflushedBytes: number;
};

export type WrittenLog = { records: number; logBytes: number };

export const REACH_FILE = "reach.json";

const MESSAGES_AT_ONCE = 200;

export async function writeLog(parameters: WriteLogParameters, context: PartContext): Promise<WrittenLog> {
  const { bytes, walFileBytes, unflushedBytes } = parameters;
  context.progress(0, Math.round(bytes / MIB));
  const { lines } = loadTexts(parameters.corpus, parameters.linesMax);
  const files = unsyncedFiles();
  let logBytes = 0;
  const counting: FileSystem = {
    ...files,
    // Memtables are dropped as fast as they fill; the log stays.
    remove: () => {},
    write(file, frame, from, to, position, done) {
      logBytes += to - from;
      files.write(file, frame, from, to, position, done);
    },
  };
  const { directory } = context;
  const memtableBytesMax = 32 * MIB;
  // Also make the files that a log has beside it.
  const beside = openSegments({ dir: directory });
  beside.begin(true);
  await beside.close();
  const store = await openLog({
    directory,
    files: counting,
    segments: forgetfulSegments(),
    walFileBytes,
    memtableBytesMax,
    markAfterMs: 0,
  });
  const chat = new Chat(store, { ...parameters, lines, seed: 13 });
  let messages = 0;
  let reach: Reach | undefined;
  while (logBytes < bytes) {
    for (let i = 0; i < MESSAGES_AT_ONCE; i++) chat.message();
    messages += MESSAGES_AT_ONCE;
    await store.idle();
    if (logBytes >= bytes - unflushedBytes) reach ??= reachOf(store, chat);
    context.progress(Math.round(logBytes / MIB), Math.round(bytes / MIB));
  }
  await store.close();
  writeFileSync(join(directory, REACH_FILE), JSON.stringify(reach));
  return { records: messages * RECORDS_PER_MESSAGE, logBytes };
}

function reachOf(store: LogStore, chat: Chat): Reach {
  return { reaches: store.opened().map((log) => [log.shard, log.durableThrough]), heads: chat.heads() };
}
