/** `parley export-shard`: one shard of a data directory that no server has open, into a file. */
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { ShardId } from "../../storage/types.ts";
import { isHelp, type Command } from "./command.ts";
import { lockForReading, leaveAtRest, lockDataDirectory, type DataDirectory } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { parseOptions, splitWords, text, type OptionValues } from "./options.ts";
import { fatalFrom } from "./startup-errors.ts";
import { BytesProgress, counted, DATA, formatBytes, JSON_LINES, oneWord, parseShard } from "./tool-options.ts";

const OPTIONS = {
  data: DATA,
  out: text({
    section: "Options",
    summary: "the file to write; replaced if it is there",
    placeholder: "FILE",
    initial: undefined,
    expected: "a file",
    accepts: (value) => value !== "" && !value.includes("\0"),
  }),
  json: JSON_LINES,
};

export function exportShardCommand(): Command {
  const command: Command = {
    name: "export-shard",
    usage: "export-shard N --out FILE",
    summary: "write one shard, all of it, to a file for import-shard",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) {
        const { words, options } = splitWords(OPTIONS, args);
        return await run(parseShard(oneWord(words, "shard")), parseOptions(OPTIONS, options, io.env), io);
      }
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function run(shard: ShardId, options: OptionValues<typeof OPTIONS>, io: Io): Promise<number> {
  const out = checkedOut(options.out);
  const progress = new BytesProgress(io);
  let data: DataDirectory = lockForReading(options.data);
  let isTaken = false;
  try {
    const { exportNeeds, exportShard, spillShard } = await import("../../storage/tools/export-shard.ts");
    const { unflushed, isSpilled } = exportNeeds(data.held.at, shard);
    if (unflushed > 0 || !isSpilled) {
      data.release();
      data = lockDataDirectory(options.data);
      isTaken = true;
      if (unflushed > 0) await (await import("./with-shards.ts")).flushData(data, io);
    }
    const { at } = data.held;
    const spill = (): Promise<void> => spillShard(at, shard);
    const exported = await exportShard(at, shard, out, spill, (done, total) => progress.set("export", done, total));
    progress.finish();
    if (isTaken) await leaveAtRest(data, io.stderr);
    if (exported === undefined) throw new FatalError("failed", `shard ${shard} has no data: nothing was written`);
    io.stdout(
      options.json
        ? `${JSON.stringify({ out, ...exported })}\n`
        : `shard ${shard} through offset ${exported.flushedThrough}: ${counted(exported.streams, "stream")}, ` +
            `${counted(exported.files, "file")}, ${formatBytes(exported.bytes)}, in ${out}\n`,
    );
    return EXIT_STATUS.ok;
  } catch (error) {
    throw fatalFrom(error, { host: "", port: 0, data: options.data }, data.held.named) ?? error;
  } finally {
    data.release();
  }
}

function checkedOut(out: string | undefined): string {
  if (out === undefined) throw new FatalError("usage", "--out is missing: say which file to write");
  if (!existsSync(dirname(resolve(out))))
    throw new FatalError("usage", `--out: there is no directory ${dirname(resolve(out))}`);
  return resolve(out);
}
