/**
 * Looks through a data directory that nobody writes to and says all that is wrong with it. Changes nothing, opens
 * nothing for writing, repairs nothing.
 *
 *   1. files    every name known, every byte as the last clean stop left it (manifest.ts)
 *   2. log      every frame whole, chained to the one before, offsets and seqs dense
 *   3. shards   every SQLite file sound, every checksum right, and layers, directory, blocks, keys and log telling one
 *               story
 *
 * Without a manifest (after a crash) 1 knows nothing of bytes; 2 and 3 still check all that a reader would use.
 *
 * Damage in one place does not stop it: the rest is looked at as far as it can be. Memory: one log file, or twice one
 * database and twice `recent.db`, however large the rest is.
 */
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import { DAMAGED_DIRECTORY } from "../log/damaged-directory.ts";
import { DAMAGED_LIST, readDamage } from "../shard/damaged-shards.ts";
import { CorruptionError, FormatError } from "../errors.ts";
import { LOG_MISSING } from "../files/sqlite-segments.ts";
import { recentPath, shardDirectory } from "../files/sqlite/paths.ts";
import type { ShardId } from "../types.ts";
import { listFiles, type FoundFile } from "./inventory.ts";
import { logFiles } from "./log-reader.ts";
import { emptyReport, Findings, type VerifyReport } from "./report.ts";
import { isRecentFile, shardOfPath, verifyFiles, type Companions } from "./verify-files.ts";
import { messageOf } from "./verify-database.ts";
import { verifyLog, verifyLogOfShard, type VerifiedLog } from "./verify-log.ts";
import { verifyExtent } from "./verify-extent.ts";
import { verifyOpenings } from "./verify-openings.ts";
import { verifyRecent, type VerifiedRecent } from "./verify-recent.ts";
import { verifyShardFiles } from "./verify-shard.ts";

export type VerifyPhase = "files" | "log" | "shards";

export type VerifyOptions = {
  companions: Companions;
  /** This one alone, the log, and the file of recent entries of all shards. */
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
    return options.shard === undefined || shard === options.shard || path.startsWith("wal/") || isRecentFile(path);
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

  verifyExtent(directory, findings, report);
  verifyOpenings(directory, log?.broken ?? [], findings, report);

  const isPart = (path: string): boolean => shardOfPath(path) !== undefined || isRecentFile(path);
  const progress = counter("shards", bytesOf(isPart));
  const closed = verifyClosed(directory, options.shard, findings);
  const isThere = existsSync(recentPath(directory));
  // Files of the log go when all in them is flushed, and the first flush makes `recent.db`.
  const isDue = (logFiles(directory)[0] ?? 1) > 1;
  // The log's first file is made before `recent.db`, and there is always one.
  if (isThere && (logFiles(directory).length === 0 || log?.isUnbegun === true))
    findings.add("missing", "wal", "this name", LOG_MISSING);
  const recent = verifyRecent(directory, { findings, progress }, isThere, isDue);
  try {
    // A file that a crash kept from getting its name is none: its shard may have no other.
    const named = files.filter(({ path }) => !path.endsWith(".new"));
    await verifyShards(directory, options.shard, { files: named, log, recent, closed, findings, report, progress });
  } finally {
    recent.close();
  }
  report.findings = findings.list;
  report.findingCount = findings.count;
  return report;
}

/** Shards that a server found damaged: it serves the others. */
function verifyClosed(directory: string, only: ShardId | undefined, findings: Findings): Set<ShardId> {
  const closed = new Set<ShardId>();
  const file = `${DAMAGED_DIRECTORY}/${DAMAGED_LIST}`;
  try {
    for (const { shard, what } of readDamage(directory)) {
      closed.add(shard);
      if (only === undefined || shard === only) findings.add("closed", file, `shard ${shard}`, what);
    }
  } catch (error) {
    if (error instanceof FormatError) findings.add("newer", file, "line 1", error.message);
    else if (error instanceof CorruptionError) findings.add("damaged", file, error.place, messageOf(error, error.file));
    else throw error;
  }
  return closed;
}

type ShardsCheck = {
  files: readonly FoundFile[];
  log: VerifiedLog | undefined;
  recent: VerifiedRecent;
  /** What the log had of them may have been set aside. */
  closed: ReadonlySet<ShardId>;
  findings: Findings;
  report: VerifyReport;
  progress: (bytes: number) => void;
};

async function verifyShards(directory: string, only: ShardId | undefined, check: ShardsCheck): Promise<void> {
  const { files, log, recent, closed, findings, report, progress } = check;
  const named = files.map(({ path }) => shardOfPath(path)).filter((shard) => shard !== undefined);
  const shards = new Set([...named, ...recent.parts.keys(), ...(log?.shards.keys() ?? [])]);
  for (const shard of [...shards].toSorted((a, b) => a - b)) {
    if (only !== undefined && shard !== only) continue;
    const at = shardDirectory(directory, shard);
    const name = relative(directory, at);
    const isKnown = !recent.isUnknown(shard) && !closed.has(shard);
    const inLog = log?.isWhole && isKnown ? log.streams.get(shard) : undefined;
    const found = verifyShardFiles({
      at,
      name,
      shard,
      findings,
      report,
      recent: recent.parts.get(shard),
      inLog,
      progress,
    });
    if (named.includes(shard) || recent.parts.has(shard)) report.shards++;
    if (found !== undefined && log !== undefined && isKnown) verifyLogOfShard(log, shard, found, findings);
    // Others want a turn, a signal among them.
    await new Promise(setImmediate);
  }
}
