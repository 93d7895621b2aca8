/**
 * `parley repair`: makes a damaged data directory whole again. storage/tools/repair saves records, and src/node/mend
 * corrects what they mean. This file runs both, reports what was lost, and puts the result in its place.
 *
 * It always works on a copy, and never changes the damaged directory. With `--to` the copy stays there. With
 * `--in-place` the complete copy takes the directory's name (repair-swap.ts), and the damaged one gets another name. A
 * kill before that leaves an unfinished copy; the next run begins with a fresh one.
 */
import { existsSync, lstatSync, readlinkSync, realpathSync, rmSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { erasedKey } from "../domain/refs.ts";
import { randomName, systemRandom } from "../base/random.ts";
import { writeManifest } from "../../storage/tools/manifest.ts";
import { syncTree } from "../../storage/tools/repair/copy-files.ts";
import type { RepairOfStore } from "../../storage/tools/repair/repair.ts";
import type { ShardId } from "../../storage/types.ts";
import { isHelp, type Command } from "./command.ts";
import { CONSTANT_FILES, type DataDirectory, lockForReading, missing } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { flag, parseOptions, text, type OptionValues } from "./options.ts";
import { giveToOwnerOf } from "./owner.ts";
import { type Copied, copyToRepair } from "./repair-copy.ts";
import { repairReport } from "./repair-report.ts";
import { finishSwap, freeName, swapInPlace, systemNames, writeDurably } from "./repair-swap.ts";
import { type Outcome, resumed, told } from "./repair-summary.ts";
import { fatalFrom } from "./startup-errors.ts";
import { BytesProgress, COMPANIONS, DATA, JSON_LINES, parseShard } from "./tool-options.ts";

const EPOCH_CHARACTERS = 8;

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
    summary: "save what is intact in a damaged data directory, and report what was lost",
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
  const place = placeOf(options);
  const { source } = place;
  const finished = place.to === undefined ? finishSwap(source) : undefined;
  if (finished !== undefined) {
    io.stdout(
      options.json ? `${JSON.stringify({ ...finished, target: source, finished: true })}\n` : resumed(source, finished),
    );
    return EXIT_STATUS.ok;
  }
  // Locked for reading: no process writes to it meanwhile, and neither does this one.
  const data = lockForReading(source);
  try {
    const outcome = await repairHeld(data, place, shard, io);
    io.stdout(options.json ? jsonOf(outcome) : told(outcome));
    return EXIT_STATUS.ok;
  } catch (error) {
    throw fatalFrom(error, { host: "", port: 0, data: source }, data.held.named) ?? error;
  } finally {
    data.release();
  }
}

/** Copies, repairs, mends, reports, and then swaps the names. */
async function repairHeld(
  source: DataDirectory,
  place: RepairPlace,
  shard: ShardId | undefined,
  io: Io,
): Promise<Outcome> {
  const progress = new BytesProgress(io);
  const copied = await copyToRepair(source.path, place.work, (done, total) => progress.set("copying", done, total));
  const copy = copied.data;
  try {
    const repaired = await saved(source.path, copied, shard, progress);
    progress.finish();
    const { mendRepaired } = await import("./repair-mend.ts");
    const notes = await mendRepaired(copy, repaired, io);
    if (place.to === undefined && !(await isWorthSwapping(source.path, repaired, shard))) {
      rmSync(place.work, { recursive: true, force: true });
      return { repaired, notes, copied, target: source.path, isUnchanged: true };
    }
    await writeManifest(copy.held.at, () => false);
    giveToOwnerOf(source.path, copy.held.at, io.stderr);
    await syncTree(copy.held.at);
    source.held.check();
    const target = place.to ?? source.path;
    const reportAt = freeName(`${target}.repair-report`, ".txt");
    writeDurably(reportAt, repairReport(source.path, repaired, notes, copied));
    if (place.to === undefined) {
      const kept = swapInPlace(source.path, place.work, reportAt);
      return { repaired, notes, copied, target, reportAt, kept };
    }
    systemNames.rename(place.work, place.to);
    return { repaired, notes, copied, target, reportAt };
  } finally {
    copy.release();
  }
}

/**
 * Without damage the copy is not better than the original. `verify` finds more than the repair looks at, such as a
 * damaged manifest.
 */
async function isWorthSwapping(source: string, repaired: RepairOfStore, only: ShardId | undefined): Promise<boolean> {
  if (repaired.shards.length > 0) return true;
  if (only !== undefined) return false;
  const { verifyDirectory } = await import("../../storage/tools/verify.ts");
  const { findings } = await verifyDirectory(source, { companions: COMPANIONS });
  return findings.some(({ file }) => !CONSTANT_FILES.includes(file));
}

type RepairPlace = {
  source: string;
  /** Where the copy is made. */
  work: string;
  /** Undefined with `--in-place`. */
  to: string | undefined;
};

function placeOf({ data, to, inPlace }: OptionValues<typeof OPTIONS>): RepairPlace {
  if ((to === undefined) === !inPlace)
    throw new FatalError("usage", "the place of the repaired copy is missing: give --to COPY, or --in-place");
  const named = resolve(data);
  if (to === undefined) {
    // A symbolic link stays, and then leads to the repaired directory.
    const source = behindLink(named);
    if (existsSync(source) && statSync(source).dev !== statSync(dirname(source)).dev)
      throw new FatalError("usage", `${source} is a mount point, which cannot be replaced in place: use --to`);
    return { source, work: `${source}.repair-unfinished`, to: undefined };
  }
  const target = resolve(to);
  if (existsSync(target))
    throw new FatalError("usage", `${target} is there already; give another --to, or move it away`);
  if (!existsSync(dirname(target))) throw new FatalError("usage", `--to: there is no directory ${dirname(target)}`);
  if (!existsSync(named)) throw missing(named);
  if (`${realpathSync(dirname(target))}/`.startsWith(`${realpathSync(named)}/`))
    throw new FatalError("usage", `--to: ${target} is inside the data directory`);
  return { source: named, work: `${target}.unfinished`, to: target };
}

/** Resolves a symbolic link, also if its directory is missing because a repair was killed. */
function behindLink(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const isLink = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink ? resolve(dirname(path), readlinkSync(path)) : path;
}

async function saved(
  source: string,
  { data, unreadable }: Copied,
  shard: ShardId | undefined,
  progress: BytesProgress,
): Promise<RepairOfStore> {
  const { repairStore } = await import("../../storage/tools/repair/repair.ts");
  return await repairStore(source, data.path, {
    shard,
    unreadable,
    // The lane of a lost entry is unknown. A user's notes, or a group's changes, show it to nobody else.
    laneOfLost: (stream) => (stream.startsWith("#") ? "" : stream),
    keyOfLost: (stream, key) => (stream.startsWith("@") ? erasedKey(key) : undefined),
    // Clients that had more entries drop what they have and read the history again.
    cellsOfLost: (stream) =>
      /^[@#]/.test(stream) ? [["epoch", Buffer.from(randomName(systemRandom, EPOCH_CHARACTERS), "latin1")]] : [],
    progress: (phase, done, total) => progress.set(phase, done, total),
  });
}

const jsonOf = ({
  repaired: { shards, left },
  notes,
  copied,
  target,
  reportAt,
  kept,
  isUnchanged,
}: Outcome): string => {
  const { leftOut, keys, unreadable } = copied;
  return `${JSON.stringify({ target, reportAt, kept, isUnchanged, shards, left, notes, leftOut, keys, unreadable })}\n`;
};
