/** `parley inspect`: shows the content of a data directory, also while a server uses it. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseAddress, shardOf } from "../domain/address.ts";
import type { ShardId } from "../../storage/types.ts";
import { AppError } from "../base/errors.ts";
import { isHelp, type Command } from "./command.ts";
import { missing } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { INSPECT_OPTIONS, type InspectOptions } from "./inspect-options.ts";
import { parseOptions, splitWords, type OptionValues } from "./options.ts";
import { fatalFrom } from "./startup-errors.ts";
import { BytesProgress, parseShard } from "./tool-options.ts";

export function inspectCommand(): Command {
  const command: Command = {
    name: "inspect",
    usage: "inspect [wal|shard N|stream ADDRESS|user NAME|message ID]",
    summary: "show the content of a data directory, also while a server uses it",
    options: INSPECT_OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) {
        const { words, options } = splitWords(INSPECT_OPTIONS, args);
        return await inspect(words, parseOptions(INSPECT_OPTIONS, options, io.env), io);
      }
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function inspect(words: readonly string[], given: OptionValues<typeof INSPECT_OPTIONS>, io: Io): Promise<number> {
  const directory = resolve(given.data);
  if (!existsSync(directory)) throw missing(directory);
  const shard = given.shard === undefined ? undefined : parseShard(given.shard);
  const options: InspectOptions = { ...given, shard, directory };
  const show = await import("./inspect-show.ts");
  try {
    await dispatch(words, options, io, show);
    return EXIT_STATUS.ok;
  } catch (error) {
    if (error instanceof AppError) throw new FatalError("usage", error.message);
    throw fatalFrom(error, { host: "", port: 0, data: directory }) ?? error;
  }
}

async function dispatch(
  [what = "", word, ...more]: readonly string[],
  options: InspectOptions,
  io: Io,
  show: typeof import("./inspect-show.ts"),
): Promise<void> {
  const { directory } = options;
  if (more.length > 0) throw new FatalError("usage", `too many words: ${JSON.stringify(more[0]!.slice(0, 64))}`);
  const needed = (name: string): string => {
    if (word === undefined) throw new FatalError("usage", `${what} needs ${name}`);
    return word;
  };
  if (what === "") return show.showOverview(options, io);
  if (what === "wal" && word === undefined) return show.showLog(options, io);
  if (what === "shard") {
    const shard = parseShard(needed("a number"));
    return options.sql === undefined
      ? show.showShard(shard, options, io)
      : show.writeSql(shard, resolve(options.sql), options, io, new BytesProgress(io));
  }
  if (what === "stream") return show.showStream(placeOf(needed("an address"), options), options, io);
  if (what === "message") return show.showMessage(needed("an id"), join(directory, "id.key"), options, io);
  if (what === "user") return (await import("./inspect-user.ts")).showUser(needed("a name"), options, io);
  const expected = "expected wal, shard, stream, user or message";
  throw new FatalError("usage", `${JSON.stringify([what, word].filter(Boolean).join(" ").slice(0, 64))}: ${expected}`);
}

function placeOf(stream: string, { shard }: InspectOptions): { shard: ShardId; stream: string } {
  if (shard !== undefined) return { shard, stream };
  try {
    return { shard: shardOf(parseAddress(stream)), stream };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw new FatalError("usage", error.message, { hint: "a stream that is no address needs --shard" });
  }
}
