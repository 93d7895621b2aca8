/**
 * `parley compact`: compacts the segments of a directory that no server has open, and finishes erasures. A running
 * server does both by itself.
 */
import type { UserId } from "../domain/address.ts";
import type { ShardHost } from "../node/shard-host.ts";
import { isHelp, type Command } from "./command.ts";
import { EXIT_STATUS } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { integer, parseOptions, type OptionValues } from "./options.ts";
import { BytesProgress, counted, DATA, formatBytes, JSON_LINES } from "./tool-options.ts";

const OPTIONS = {
  data: DATA,
  level: integer({
    section: "Options",
    summary: "zstd level: higher is smaller and slower",
    initial: 9,
    min: 1,
    max: 19,
  }),
  json: JSON_LINES,
};

type Compacted = {
  /** Users whose unfinished requests to erase everything were finished. */
  usersErased: UserId[];
  shards: number;
  filesBefore: number;
  filesAfter: number;
  bytesBefore: number;
  bytesAfter: number;
};

export function compactCommand(): Command {
  const command: Command = {
    name: "compact",
    usage: "compact [options]",
    summary: "compact a data directory that no server has open, and finish erasures",
    options: OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await compact(parseOptions(OPTIONS, args, io.env), io);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function compact(options: OptionValues<typeof OPTIONS>, io: Io): Promise<number> {
  const progress = new BytesProgress(io);
  const { withShards } = await import("./with-shards.ts");
  const done = await withShards(options.data, io, (host) => compactAll(host, options.level, progress));
  progress.finish();
  const { usersErased, shards, filesBefore, filesAfter, bytesBefore, bytesAfter } = done;
  if (!options.json) for (const user of usersErased) io.stdout(`content of @${user} erased, as requested before\n`);
  io.stdout(
    options.json
      ? `${JSON.stringify(done)}\n`
      : `${counted(shards, "shard")} with sealed segments: ${counted(filesBefore, "file")}, ${formatBytes(bytesBefore)} before; ` +
          `${counted(filesAfter, "file")}, ${formatBytes(bytesAfter)} now\n`,
  );
  return EXIT_STATUS.ok;
}

/**
 * Finishes what a crash interrupted: users' requests, and erased entries that are still in files or in the log.
 * @returns the users whose requests were finished
 */
async function finishErasures(host: ShardHost, progress: BytesProgress): Promise<UserId[]> {
  const { beingErased, eraseRequested, finishErasure } = await import("../home/erasing/erase-user.ts");
  const { store } = host;
  const tidy = (): Promise<void> =>
    store.eraseNow((shard, done, total) => progress.set(`erase in shard ${shard}`, done, total));
  const users = host.ownedShards().flatMap((shard) => beingErased(store.shard(shard)));
  for (const user of users) await eraseRequested(host.home(user), user, { isStopped: () => false, tidy });
  // Whether the log has erased entries is known only after reading it.
  if (users.length > 0 || store.recovery.records > 0 || store.pendingErasures().length > 0) await tidy();
  for (const user of users) await finishErasure(host.home(user), user);
  return users;
}

async function compactAll(host: ShardHost, level: number, progress: BytesProgress): Promise<Compacted> {
  const { store } = host;
  const usersErased = await finishErasures(host, progress);
  const sum: Compacted = { usersErased, shards: 0, filesBefore: 0, filesAfter: 0, bytesBefore: 0, bytesAfter: 0 };
  await store.flushAll(() => false);
  for (const shard of host.ownedShards()) {
    const onProgress = (done: number, total: number): void => progress.set(`compact shard ${shard}`, done, total);
    const report = await store.compact(shard, { level, onProgress });
    if (report.filesBefore === 0) continue;
    sum.shards++;
    sum.filesBefore += report.filesBefore;
    sum.filesAfter += report.filesAfter;
    sum.bytesBefore += report.bytesBefore;
    sum.bytesAfter += report.bytesAfter;
  }
  return sum;
}
