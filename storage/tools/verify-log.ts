/** The write-ahead log: its own checks (storage/log/local/check-log.ts), and the seqs of each stream in it. */
import { join, relative } from "node:path";
import { FormatError } from "../errors.ts";
import type { Seq, ShardId } from "../types.ts";
import { realFileSystem, type FileSystem } from "../vfs/file-system.ts";
import { checkLog, type LogCheck, type LogShard } from "../log/local/check-log.ts";
import { walFileName } from "../log/local/frame.ts";
import { type Findings, unreadable, type VerifyReport } from "./report.ts";

/** Seqs of a stream in the log: the first and the last; dense between them. */
export type LogSeqs = { firstSeq: Seq; lastSeq: Seq; gaps: number };
export type VerifiedLog = {
  shards: Map<ShardId, LogShard>;
  streams: Map<ShardId, Map<string, LogSeqs>>;
  /** False when the log has faults: what it holds is then known in part only. */
  isWhole: boolean;
  /** Numbers of files that do not go on where the one before ends. */
  broken: readonly number[];
  /** All of it is one file, the first, without its header. */
  isUnbegun: boolean;
};

export function verifyLog(
  directory: string,
  findings: Findings,
  report: VerifyReport,
  progress: (bytes: number) => void,
): VerifiedLog {
  const log: VerifiedLog = { shards: new Map(), streams: new Map(), isWhole: false, broken: [], isUnbegun: false };
  const inDirectory = (file: string): string => relative(directory, file);
  const files = readable(findings, inDirectory);
  try {
    const check = checkLog(join(directory, "wal"), files, progress, (shard, stream, seq, { file, place, gaps }) => {
      const before = noteEntry(log.streams, shard, stream, seq, gaps);
      if (before === undefined) return;
      const what = `shard ${shard}, stream ${stream}: seq ${seq} follows ${before}`;
      findings.add("damaged", inDirectory(file), place, what);
    });
    tell(check, inDirectory, findings, report);
    const isUnbegun = check.files === 1 && check.torn?.at === 0 && check.torn.file.endsWith(walFileName(1));
    return { ...log, shards: check.shards, isWhole: check.faults.length === 0, broken: check.broken, isUnbegun };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const [file = "wal", what] = error.message.split(/: (.*)/s);
    findings.add("newer", inDirectory(file), "its header", what ?? error.message);
    return log;
  }
}

function tell(check: LogCheck, inDirectory: (file: string) => string, findings: Findings, report: VerifyReport): void {
  const { torn, files, bytes, records } = check;
  report.log = { files, bytes, records };
  for (const { file, place, what } of check.faults)
    findings.add("damaged", inDirectory(file), place, shortened(what, file));
  if (torn === undefined) return;
  const where = `${inDirectory(torn.file)} ends in ${torn.bytes} bytes that a crash cut short`;
  report.notes.push(`${where} at byte ${torn.at}; the next start removes them`);
  if (torn.isWrittenThrough)
    report.notes.push(
      "no part of those bytes is missing: the frame may as well be whole and damaged since, which cannot be told",
    );
}

/** A file that the system cannot read is a finding, and the rest is looked at. */
function readable(findings: Findings, inDirectory: (file: string) => string): FileSystem {
  const read = (path: string): Buffer => {
    try {
      return realFileSystem.read(path);
    } catch (error) {
      findings.add("damaged", inDirectory(path), "all of it", unreadable(error));
      return Buffer.alloc(0);
    }
  };
  return { ...realFileSystem, read };
}

/** @returns the seq before, when the new one does not follow it */
function noteEntry(
  streams: VerifiedLog["streams"],
  shard: ShardId,
  stream: string,
  seq: Seq,
  gaps: number,
): Seq | undefined {
  let ofShard = streams.get(shard);
  if (ofShard === undefined) streams.set(shard, (ofShard = new Map()));
  const known = ofShard.get(stream);
  if (known === undefined) {
    ofShard.set(stream, { firstSeq: seq, lastSeq: seq, gaps });
    return undefined;
  }
  const { lastSeq: before, gaps: gapsBefore } = known;
  known.lastSeq = seq;
  known.gaps = gaps;
  return seq === before + 1 || gaps > gapsBefore ? undefined : before;
}

/** The log goes on where the shard's files end, or before. */
export function verifyLogOfShard(
  { shards, isWhole }: VerifiedLog,
  shard: ShardId,
  { flushedThrough, term }: { flushedThrough: number; term: number },
  findings: Findings,
): void {
  const inLog = shards.get(shard);
  if (inLog === undefined || !isWhole) return;
  const fault = (what: string): void => findings.add("disagrees", "wal", `shard ${shard}`, what);
  const { firstOffset, lastOffset, jumps } = inLog;
  for (const {
    to,
    fault: { place, what },
  } of jumps)
    if (to > flushedThrough + 1) findings.add("damaged", "wal", place, what);
  if (firstOffset > flushedThrough + 1)
    fault(`begins with offset ${firstOffset}, but the shard's files end with ${flushedThrough}`);
  if (lastOffset < flushedThrough)
    fault(`ends with offset ${lastOffset}, but the shard's files with ${flushedThrough}`);
  if (inLog.term < term) fault(`ends in term ${inLog.term}, but the shard's files are of term ${term}`);
}

/** The file is said already. */
const shortened = (what: string, file: string): string =>
  what.startsWith(`${file}: `) ? what.slice(file.length + 2).replace(/ at (byte \d+|this name)$/, "") : what;
