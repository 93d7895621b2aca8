/**
 * `parley import-shard`: adds a shard that export-shard wrote to a data directory that does not have it. No server may
 * have the directory open.
 */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { CorruptionError } from "../../storage/errors.ts";
import { isHelp, type Command } from "./command.ts";
import { leaveAtRest, lockDataDirectory } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { parseOptions, splitWords, type OptionValues } from "./options.ts";
import { fatalFrom } from "./startup-errors.ts";
import { BytesProgress, counted, DATA, formatBytes, JSON_LINES, oneWord } from "./tool-options.ts";

const OPTIONS = { data: DATA, json: JSON_LINES };

export function importShardCommand(): Command {
  const command: Command = {
    name: "import-shard",
    usage: "import-shard FILE",
    summary: "take in a shard that export-shard wrote, where it is not there yet",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) {
        const { words, options } = splitWords(OPTIONS, args);
        return await run(oneWord(words, "file"), parseOptions(OPTIONS, options, io.env), io);
      }
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function run(word: string, options: OptionValues<typeof OPTIONS>, io: Io): Promise<number> {
  const file = resolve(word);
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    throw new FatalError("usage", `there is no file ${file}`);
  const progress = new BytesProgress(io);
  const data = lockDataDirectory(options.data);
  const { importShard, ShardNotEmptyError } = await import("../../storage/tools/import-shard.ts");
  try {
    const imported = await importShard(data.held.at, file, (done, total) => progress.set("import", done, total));
    progress.finish();
    await leaveAtRest(data, io.stderr);
    io.stdout(
      options.json
        ? `${JSON.stringify(imported)}\n`
        : `shard ${imported.shard} through offset ${imported.flushedThrough}: ${counted(imported.streams, "stream")}, ${formatBytes(imported.bytes)}\n`,
    );
    return EXIT_STATUS.ok;
  } catch (error) {
    if (error instanceof ShardNotEmptyError) {
      const hint = "a shard is imported where there is none; nothing was changed";
      throw new FatalError("failed", data.held.named(error.message), { hint, cause: error });
    }
    if (error instanceof CorruptionError && error.file === file) {
      throw new FatalError("corrupt", error.message, { hint: "export it again; nothing was changed", cause: error });
    }
    throw fatalFrom(error, { host: "", port: 0, data: data.path }, data.held.named) ?? error;
  } finally {
    data.release();
  }
}
