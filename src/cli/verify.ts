/**
 * `parley verify`: reports what is wrong with a data directory. storage/tools/verify.ts checks; this file runs it and
 * prints the result.
 */
import type { Finding, VerifyReport } from "../../storage/tools/report.ts";
import { isHelp, type Command } from "./command.ts";
import { lockForReading, type DataDirectory } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { parseOptions, text, type OptionValues } from "./options.ts";
import { fatalFrom } from "./startup-errors.ts";
import {
  BytesProgress,
  COMPANIONS,
  counted,
  DATA,
  formatBytes,
  JSON_LINES,
  parseShard,
  table,
} from "./tool-options.ts";

const OPTIONS = {
  data: DATA,
  shard: text({
    section: "Options",
    summary: "check only one shard and the log",
    placeholder: "N",
    initial: undefined,
    expected: "a whole number from 0 to 999",
    accepts: (value) => /^\d{1,3}$/.test(value),
  }),
  json: JSON_LINES,
};

export function verifyCommand(): Command {
  const command: Command = {
    name: "verify",
    usage: "verify [options]",
    summary: "check a data directory that no server has open; changes nothing",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await verify(parseOptions(OPTIONS, args, io.env), io);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function verify(options: OptionValues<typeof OPTIONS>, io: Io): Promise<number> {
  const shard = options.shard === undefined ? undefined : parseShard(options.shard);
  const data = hold(options.data);
  const progress = new BytesProgress(io);
  try {
    const { verifyDirectory } = await import("../../storage/tools/verify.ts");
    const report = await verifyDirectory(data.held.at, {
      companions: COMPANIONS,
      shard,
      progress: (phase, done, total) => progress.set(phase, done, total),
    });
    progress.finish();
    data.held.check();
    const told = forPeople(report, data);
    io.stdout(options.json ? `${JSON.stringify(told)}\n` : reportText(told));
    return statusOf(report);
  } catch (error) {
    throw fatalFrom(error, { host: "", port: 0, data: data.path }, data.held.named) ?? error;
  } finally {
    data.release();
  }
}

/** Replaces internal paths by the directory's name. */
function forPeople(report: VerifyReport, { path, held }: DataDirectory): VerifyReport {
  const findings = report.findings.map((finding) => ({ ...finding, what: held.named(finding.what) }));
  return { ...report, directory: path, findings, notes: report.notes.map(held.named) };
}

function statusOf({ findingCount, findings }: VerifyReport): number {
  if (findingCount === 0) return EXIT_STATUS.ok;
  return findings.every(({ kind }) => kind === "newer") ? EXIT_STATUS.formatTooNew : EXIT_STATUS.corrupt;
}

/** While a server writes, the files do not fit together. */
function hold(path: string) {
  try {
    return lockForReading(path);
  } catch (error) {
    if (!(error instanceof FatalError) || error.reason !== "dataLocked") throw error;
    throw new FatalError("dataLocked", error.message, {
      hint: "stop the server first, or verify a copy that was made while it was stopped",
      cause: error,
    });
  }
}

export function reportText(report: VerifyReport): string {
  const { directory, findingCount, findings, notes } = report;
  const verdict = findingCount === 0 ? "nothing is wrong" : `${counted(findingCount, "thing is", "things are")} wrong`;
  const parts = [`${directory}: ${verdict}\n`, summary(report), ...byFile(findings)];
  if (findingCount > findings.length) parts.push(`… and ${findingCount - findings.length} more\n`);
  if (notes.length > 0) parts.push(notes.map((note) => `note: ${note}\n`).join(""));
  return parts.join("\n");
}

function summary(report: VerifyReport): string {
  const { log, files, bytes, coveredFiles, shards } = report;
  const covered =
    coveredFiles === files
      ? "every byte compared"
      : `${coveredFiles} of them compared byte by byte, the others as far as they are used`;
  const rows = [
    ["files", counted(files, "file"), formatBytes(bytes), covered],
    ["log", counted(log.files, "file"), formatBytes(log.bytes), counted(log.records, "record")],
    ["shards", counted(shards, "shard"), counted(report.streams, "stream"), counted(report.blocks, "block")],
    ["", counted(report.entries, "entry", "entries"), counted(report.keys, "key"), counted(report.cells, "cell")],
  ];
  return table(rows, [], "  ");
}

function byFile(findings: readonly Finding[]): string[] {
  return [...Map.groupBy(findings, ({ file }) => file)].map(([file, found]) => {
    const advice = [...new Set(found.map((finding) => finding.advice))];
    return [
      `${file}\n`,
      table(
        found.map(({ place, what }) => [place, what]),
        [],
        "  ",
      ),
      advice.map((line) => `  → ${line}\n`).join(""),
    ].join("");
  });
}
