/**
 * `parley repair`: makes a damaged data directory whole again. The saving is storage/tools/repair; here it is asked, said what it cost, and put in its place.
 *
 * It works on a copy, always: with `--to` that is where the copy stays, with `--in-place` it takes the directory's name by two renames, and what was
 * there keeps another name. Killed before that, it leaves an unfinished copy and nothing else changed; the next run begins with a fresh one.
 */
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { erasedKey } from "../domain/refs.ts";
import { randomName, systemRandom } from "../base/random.ts";
import type { MendNote } from "../shard/mend/notes.ts";
import type { LostEntries, RepairedShard, RepairOfStore } from "../../storage/tools/repair/repair.ts";
import { isHelp, type Command } from "./command.ts";
import { takeDataDirectory } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { flag, parseOptions, text, type OptionValues } from "./options.ts";
import { mendLines, repairReport } from "./repair-report.ts";
import { fatalFrom } from "./startup-errors.ts";
import { BytesProgress, counted, DATA, JSON_LINES, parseShard } from "./tool-options.ts";

const EPOCH_CHARACTERS = 8;
export const REPORT_NAME = "repair-report.txt";

const OPTIONS = {
  data: DATA,
  to: text({
    section: "Options",
    summary: "where the repaired copy goes; it must not be there yet",
    placeholder: "COPY",
    initial: undefined,
    expected: "a directory that is not there",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  inPlace: flag({
    section: "Options",
    summary: "put the repaired copy in the place of the directory, which keeps another name",
  }),
  shard: text({
    section: "Options",
    summary: "repair this shard alone; others that are damaged stay closed",
    placeholder: "N",
    initial: undefined,
    expected: "a whole number from 0 to 999",
    accepts: (value) => /^\d{1,3}$/.test(value),
  }),
  json: JSON_LINES,
};

export function repairCommand(): Command {
  const command: Command = {
    name: "repair",
    usage: "repair --to COPY | --in-place [options]",
    summary: "save what is whole of a damaged data directory, and say what was lost",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await repair(parseOptions(OPTIONS, args, io.env), io);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function repair(options: OptionValues<typeof OPTIONS>, io: Io): Promise<number> {
  const shard = options.shard === undefined ? undefined : parseShard(options.shard);
  const source = resolve(options.data);
  const target = targetOf(source, options);
  if (!existsSync(source))
    throw new FatalError("dataUnwritable", `there is no data directory ${source}`, {
      hint: "say where it is with --data",
    });
  // Nobody else may change it meanwhile.
  const data = takeDataDirectory(source);
  const unfinished = `${target}.unfinished`;
  try {
    rmSync(unfinished, { recursive: true, force: true });
    copy(source, unfinished);
    const repaired = await saved(source, unfinished, shard, io);
    const { mendRepaired } = await import("./repair-mend.ts");
    const notes = await mendRepaired(unfinished, repaired, io);
    const reportAt = join(unfinished, "..", `${basename(target)}.${REPORT_NAME}`);
    writeFileSync(reportAt, repairReport(source, repaired, notes), { mode: 0o600 });
    const kept = options.inPlace ? swap(source, unfinished) : (renameSync(unfinished, target), undefined);
    io.stdout(
      options.json
        ? jsonOf(repaired, notes, { reportAt, target: options.inPlace ? source : target, kept })
        : told(repaired, notes, { reportAt, target: options.inPlace ? source : target, kept }),
    );
    return EXIT_STATUS.ok;
  } catch (error) {
    throw fatalFrom(error, { host: "", port: 0, data: source }, data.held.named) ?? error;
  } finally {
    data.release();
  }
}

function targetOf(source: string, { to, inPlace }: OptionValues<typeof OPTIONS>): string {
  if ((to === undefined) === !inPlace)
    throw new FatalError("usage", "say where the repaired copy goes: --to COPY, or --in-place");
  const target = inPlace ? `${source}.repaired` : resolve(to!);
  if (existsSync(target))
    throw new FatalError("usage", `${target} is there already; give another --to, or move it away`);
  if (!existsSync(dirname(target))) throw new FatalError("usage", `--to: there is no directory ${dirname(target)}`);
  return target;
}

function copy(source: string, to: string): void {
  mkdirSync(to, { mode: 0o700 });
  cpSync(source, to, {
    recursive: true,
    preserveTimestamps: true,
    filter: (path) => !["LOCK", "manifest", "manifest.last"].includes(path.slice(source.length + 1)),
  });
}

async function saved(
  source: string,
  target: string,
  shard: RepairedShard["shard"] | undefined,
  io: Io,
): Promise<RepairOfStore> {
  const { repairStore } = await import("../../storage/tools/repair/repair.ts");
  const progress = new BytesProgress(io);
  const repaired = await repairStore(source, target, {
    shard,
    // Nobody knows what it was: a user's notes, or a change of a group, show it to nobody else.
    laneOfLost: (stream) => (stream.startsWith("#") ? "" : stream),
    keyOfLost: (stream, key) => (stream.startsWith("@") ? erasedKey(key) : undefined),
    // Clients that had more drop what they have and read the history again.
    cellsOfLost: (stream) =>
      /^[@#]/.test(stream) ? [["epoch", Buffer.from(randomName(systemRandom, EPOCH_CHARACTERS), "latin1")]] : [],
    progress: (phase, done, total) => progress.set(phase, done, total),
  });
  progress.finish();
  return repaired;
}

/** @returns where the damaged directory is now */
function swap(source: string, repaired: string): string {
  let kept = `${source}.damaged`;
  for (let n = 2; existsSync(kept); n++) kept = `${source}.damaged-${n}`;
  renameSync(source, kept);
  renameSync(repaired, source);
  return kept;
}

type Where = { reportAt: string; target: string; kept: string | undefined };

const jsonOf = ({ shards, left }: RepairOfStore, notes: MendNote[], where: Where): string =>
  `${JSON.stringify({ ...where, shards, left, notes })}\n`;

function told({ shards, left }: RepairOfStore, notes: MendNote[], { reportAt, target, kept }: Where): string {
  const lines = shards.map(shardLine);
  if (shards.length === 0) lines.push("no shard was damaged");
  for (const { shard, what } of left) lines.push(`shard ${shard} stays closed: ${what}`);
  lines.push(...mendLines(notes), `repaired: ${target}`, `what was left out, to read: ${reportAt}`);
  if (kept !== undefined) lines.push(`as it was before: ${kept}; remove it when you need it no more`);
  lines.push(`next: parley verify --data ${target}`);
  return `${lines.join("\n")}\n`;
}

function shardLine({ shard, entries, lost, missing, mayLackNewest, mayShowErased }: RepairedShard): string {
  const count = lost.reduce((sum, { ranges }) => sum + entriesIn(ranges), 0);
  const notes = [
    count === 0
      ? "none known to be lost"
      : `${counted(count, "entry", "entries")} lost in ${counted(lost.length, "stream")}`,
    ...missing,
    ...(mayLackNewest ? ["newer ones may be lost"] : []),
    ...(mayShowErased ? ["what was erased may be there again: erase it once more"] : []),
  ];
  return `shard ${shard}: ${counted(entries, "entry", "entries")} saved, ${notes.join("; ")}`;
}

const entriesIn = (ranges: LostEntries["ranges"]): number =>
  ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
