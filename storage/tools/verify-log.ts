/** The write-ahead log: its own checks (storage/wal/check-log.ts), and the seqs of each stream in it. */
import { join, relative } from "node:path";
import type { Seq, ShardId } from "../types.ts";
import { realFileSystem } from "../vfs/file-system.ts";
import { checkLog, type LogShard } from "../wal/check-log.ts";
import type { Findings, VerifyReport } from "./report.ts";

/** Seqs of a stream in the log: the first and the last; dense between them. */
export type LogSeqs = { firstSeq: Seq; lastSeq: Seq };
export type VerifiedLog = {
  shards: Map<ShardId, LogShard>;
  streams: Map<ShardId, Map<string, LogSeqs>>;
  /** False when the log has faults: what it holds is then known in part only. */
  isWhole: boolean;
};

export function verifyLog(
  directory: string,
  findings: Findings,
  report: VerifyReport,
  progress: (bytes: number) => void,
): VerifiedLog {
  const log: VerifiedLog = { shards: new Map(), streams: new Map(), isWhole: true };
  const walDirectory = join(directory, "wal");
  const inDirectory = (file: string): string => relative(directory, file);
  const check = checkLog(walDirectory, realFileSystem, progress, (shard, stream, seq, { file, place }) => {
    const before = noteEntry(log.streams, shard, stream, seq);
    if (before === undefined) return;
    findings.add("damaged", inDirectory(file), place, `shard ${shard}, stream ${stream}: seq ${seq} follows ${before}`);
  });
  log.shards = check.shards;
  log.isWhole = check.faults.length === 0;
  report.log = { files: check.files, bytes: check.bytes, records: check.records };
  for (const { file, place, what } of check.faults)
    findings.add("damaged", inDirectory(file), place, shortened(what, file));
  const { torn } = check;
  if (torn !== undefined) {
    report.notes.push(
      `${inDirectory(torn.file)} ends in ${torn.bytes} bytes that a crash cut short at byte ${torn.at}; the next start removes them`,
    );
  }
  return log;
}

/** @returns the seq before, when the new one does not follow it */
function noteEntry(streams: VerifiedLog["streams"], shard: ShardId, stream: string, seq: Seq): Seq | undefined {
  let ofShard = streams.get(shard);
  if (ofShard === undefined) streams.set(shard, (ofShard = new Map()));
  const known = ofShard.get(stream);
  if (known === undefined) {
    ofShard.set(stream, { firstSeq: seq, lastSeq: seq });
    return undefined;
  }
  const before = known.lastSeq;
  known.lastSeq = seq;
  return seq === before + 1 ? undefined : before;
}

/** The file is said already. */
const shortened = (what: string, file: string): string =>
  what.startsWith(`${file}: `) ? what.slice(file.length + 2).replace(/ at (byte \d+|this name)$/, "") : what;
