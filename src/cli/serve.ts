/** `parley serve`: locks the data directory, starts a node, prints its URL, and drains it when told to stop. */
import type { HeldDirectory } from "../../storage/vfs/held-directory.ts";
import { isHelp, type Command } from "./command.ts";
import { leaveAtRest, noteKeys, lockDataDirectory } from "./data-directory.ts";
import { EXIT_STATUS, FatalError } from "./fatal-error.ts";
import { commandHelp } from "./help.ts";
import type { Io } from "./io.ts";
import { parseOptions } from "./options.ts";
import { mustNotBeOfProcesses } from "./processes/process-files.ts";
import { serveProcesses } from "./processes/serve-processes.ts";
import { SERVE_OPTIONS, type ServeOptions } from "./serve-options.ts";
import { fatalFrom } from "./startup-errors.ts";
import { firstStopSignal, type Signals } from "./stop-signals.ts";

export type RunningNode = {
  /** `http://HOST:PORT`, with the real port. */
  url: string;
  /** Accepts no new work, acks what it has, says `bye`, flushes. */
  drain: () => Promise<void>;
  /** Resolves when the node has ended, and rejects when it cannot go on. */
  closed: Promise<void>;
};

export type ServeParts = {
  startNode: (options: ServeOptions, held: HeldDirectory) => Promise<RunningNode>;
  signals: Signals;
  /** Absent where it can only be one process. */
  process?: ServeProcess;
};

export type ServeProcess = {
  /** The command that runs this program. */
  command: readonly string[];
  /** Resolves when standard input ends: then the process that started this one has ended, or wants it to. */
  inputEnds: () => Promise<void>;
};

export function serveCommand(parts: ServeParts): Command {
  const command: Command = {
    name: "serve",
    usage: "serve [options]",
    npmScript: "start",
    summary: "run the server",
    note:
      "SIGTERM drains it: no new work, everything acked, exit 0. So do SIGINT and SIGHUP, unless they were ignored " +
      "at the start, as by nohup (this does not work through npm or the launcher).",
    options: SERVE_OPTIONS,
    run: async (args, io) => {
      if (!args.some(isHelp)) return await serve(parseOptions(SERVE_OPTIONS, args, io.env), io, parts);
      io.stdout(commandHelp(command, io));
      return EXIT_STATUS.ok;
    },
  };
  return command;
}

async function serve(options: ServeOptions, io: Io, parts: ServeParts): Promise<number> {
  const { startNode, signals } = parts;
  if (options.processes !== undefined) {
    const { processes, node } = options;
    const { command } = parts.process ?? { command: [] };
    if (node === undefined) return await serveProcesses({ ...options, processes }, io, { signals, command });
    throw new FatalError("usage", "--processes and --node: the processes are nodes of a cluster of their own");
  }
  mustNotBeOfProcesses(options.data, options.data);
  const data = lockDataDirectory(options.data);
  try {
    const stop = firstStopSignal(signals);
    const node = await startNode({ ...options, data: data.held.at }, data.held);
    await noteKeys(data);
    io.stdout(`parley listening on ${node.url}\n`);
    if (io.isStderrTerminal === true) io.stderr(`parley: data in ${options.data}\n`);
    const inputEnds = options.processOf === undefined ? undefined : parts.process?.inputEnds();
    const signal = await Promise.race([stop, node.closed, ...(inputEnds === undefined ? [] : [inputEnds])]);
    const stoppedAt = signals.clock.monotonicMs();
    if (signal !== undefined) io.stderr(`parley: ${signal}, draining\n`);
    await node.drain();
    await leaveAtRest(data, io.stderr);
    const seconds = (signals.clock.monotonicMs() - stoppedAt) / 1000;
    if (signal !== undefined) io.stderr(`parley: drained in ${seconds.toFixed(1)} s\n`);
    return EXIT_STATUS.ok;
  } catch (error) {
    throw fatalFrom(error, options, data.held.named) ?? error;
  } finally {
    data.release();
  }
}
