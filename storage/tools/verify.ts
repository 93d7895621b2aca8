/**
 * Looks through a data directory that nobody writes to and says all that is wrong with it. Changes nothing, opens nothing for writing, repairs nothing.
 *
 *   1. files    every name known, every byte as the last clean stop left it (manifest.ts)
 *   2. log      every frame whole, chained to the one before, offsets and seqs dense
 *   3. shards   every SQLite file sound, every checksum right, and directory, blocks, heads, keys and log telling one story
 *
 * Without a manifest (after a crash) 1 knows nothing of bytes; 2 and 3 still check all that a reader would use.
 *
 * Damage in one place does not stop it: the rest is looked at as far as it can be. Memory: one log file, or twice one database, whatever the size of the rest.
 */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { shardDirectory } from "../segment/paths.ts";
import type { ShardId } from "../types.ts";
import { listFiles } from "./inventory.ts";
import { emptyReport, Findings, type VerifyReport } from "./report.ts";
import { shardOfPath, verifyFiles, type Companions } from "./verify-files.ts";
import { verifyLog, verifyLogOfShard } from "./verify-log.ts";
import { verifyShardFiles } from "./verify-shard.ts";

export type VerifyPhase = "files" | "log" | "shards";

export type VerifyOptions = {
  companions: Companions;
  /** This one alone, and the log. */
  shard?: ShardId | undefined;
  /** Bytes; the total of a phase is known when it begins. */
  progress?: (phase: VerifyPhase, done: number, total: number) => void;
};

/** @throws FormatError for what a newer version wrote; what the system says about files that cannot be read */
export async function verifyDirectory(directory: string, options: VerifyOptions): Promise<VerifyReport> {
  const findings = new Findings();
  const report = emptyReport(directory);
  const isWanted = (path: string): boolean => {
    const shard = shardOfPath(path);
    return options.shard === undefined || shard === options.shard || path.startsWith("wal/");
  };
  const counter = (phase: VerifyPhase, total: number): ((bytes: number) => void) => {
    let done = 0;
    return (bytes) => options.progress?.(phase, (done += bytes), total);
  };
  const files = listFiles(directory).filter(({ path }) => isWanted(path));
  const bytesOf = (isPart: (path: string) => boolean): number =>
    files.reduce((sum, { path, size }) => (isPart(path) ? sum + size : sum), 0);

  const fileBytes = counter(
    "files",
    bytesOf(() => true),
  );
  const { companions } = options;
  await verifyFiles({ directory, companions, findings, report, progress: fileBytes }, files, isWanted);

  const logBytes = counter(
    "log",
    bytesOf((path) => path.startsWith("wal/")),
  );
  const log = existsSync(join(directory, "wal")) ? verifyLog(directory, findings, report, logBytes) : undefined;

  // A file that a crash kept from getting its name is none: its shard may have no other.
  const named = files.filter(({ path }) => !path.endsWith(".new"));
  const shards = new Set(named.map(({ path }) => shardOfPath(path)).filter((shard) => shard !== undefined));
  const progress = counter(
    "shards",
    bytesOf((path) => shardOfPath(path) !== undefined),
  );
  for (const shard of [...shards].toSorted((a, b) => a - b)) {
    const at = shardDirectory(directory, shard);
    const inLog = log?.isWhole ? log.streams.get(shard) : undefined;
    const row = verifyShardFiles({ at, name: relative(directory, at), shard, findings, report, inLog, progress });
    report.shards++;
    if (row !== undefined && log !== undefined)
      verifyLogOfShard(log, shard, { flushedThrough: row.flushed_through, term: row.term }, findings);
    // Others want a turn, a signal among them.
    await new Promise(setImmediate);
  }
  for (const shard of log?.shards.keys() ?? []) {
    const isLooked = options.shard === undefined || options.shard === shard;
    if (isLooked && !shards.has(shard)) verifyLogOfShard(log!, shard, { flushedThrough: 0, term: 0 }, findings);
  }
  report.findings = findings.list;
  report.findingCount = findings.count;
  return report;
}
