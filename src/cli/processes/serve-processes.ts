/**
 * `parley serve --processes N`: N nodes of a cluster as processes of this machine, which share one port. The kernel
 * gives each new connection to one of them, and any node serves any user. This process relays nothing: it starts them,
 * and starts again those that end.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemRandom } from "../../base/random.ts";
import { lockDataDirectory } from "../data-directory.ts";
import { EXIT_STATUS } from "../fatal-error.ts";
import type { Io } from "../io.ts";
import { flagOf } from "../options.ts";
import { SERVE_OPTIONS, type ServeOptions } from "../serve-options.ts";
import { fatalFrom } from "../startup-errors.ts";
import { firstStopSignal, type Signals } from "../stop-signals.ts";
import { allLinked } from "./all-linked.ts";
import { childProcess } from "./child-process.ts";
import { prepareProcesses, type ProcessFiles } from "./process-files.ts";
import { Supervisor } from "./supervisor.ts";

/** Beyond the time that a process gives its work, for its files. */
const DRAIN_MORE_MS = 20_000;
/** What each process has of its own. */
const OWN = new Set(["processes", "processOf", "data", "port", "node", "map", "clusterSecretFile", "nodeName"]);

export type ProcessesParts = {
  readonly signals: Signals;
  /** The command that runs this program. */
  readonly command: readonly string[];
};

export async function serveProcesses(
  options: ServeOptions & { processes: number },
  io: Io,
  { signals, command }: ProcessesParts,
): Promise<number> {
  const data = lockDataDirectory(options.data);
  try {
    const stop = firstStopSignal(signals);
    const port = sharedPort(options);
    const place = { data: data.path, shown: options.data, count: options.processes };
    const files = await prepareProcesses(place, freePort, systemRandom);
    const supervisor = new Supervisor({
      names: [...files.nodes.keys()],
      spawn: (name) => {
        const args = argumentsOf(options, files, { name, port, data: data.path });
        return childProcess(name, [...command, "serve", ...args], withoutOptions(io.env), io.stderr);
      },
      clock: signals.clock,
      patienceMs: options.drainMs + DRAIN_MORE_MS,
      say: (line) => io.stderr(`parley: ${line}\n`),
    });
    try {
      const started = supervisor.start().then(async () => {
        await allLinked([...files.nodes.values()], await readFile(files.secret, "utf8"), signals.clock);
        io.stdout(`parley listening on ${urlOf(options.host, port)}\n`);
      });
      const signal = await Promise.race([stop, supervisor.failed, started.then(() => stop)]);
      io.stderr(`parley: ${signal}, draining ${files.nodes.size} processes\n`);
    } finally {
      await supervisor.stop();
    }
    return EXIT_STATUS.ok;
  } catch (error) {
    throw fatalFrom(error, options, data.held.named) ?? error;
  } finally {
    data.release();
  }
}

function argumentsOf(
  options: ServeOptions,
  files: ProcessFiles,
  { name, port, data }: { name: string; port: number; data: string },
): string[] {
  const shared = Object.entries(SERVE_OPTIONS).flatMap(([key, { initial }]) => {
    const value = options[key as keyof ServeOptions];
    return OWN.has(key) || value === initial ? [] : [`${flagOf(key)}=${String(value)}`];
  });
  const own = { port, node: name, data: join(data, name), map: files.map, clusterSecretFile: files.secret };
  return [
    ...shared,
    ...Object.entries(own).map(([key, value]) => `${flagOf(key)}=${value}`),
    `${flagOf("processOf")}=${data}`,
  ];
}

/**
 * Nobody else has it: sharing would also succeed with the processes of another server, and connections would go to
 * either.
 */
function sharedPort({ host, port }: ServeOptions): number {
  const listener = Bun.listen({ hostname: host, port, exclusive: true, socket: { data() {} } });
  const taken = listener.port;
  listener.stop(true);
  return taken;
}

function freePort(port: number): number {
  const listenAt = (wanted: number): number => {
    const listener = Bun.listen({ hostname: "127.0.0.1", port: wanted, exclusive: true, socket: { data() {} } });
    const taken = listener.port;
    listener.stop(true);
    return taken;
  };
  try {
    return listenAt(port);
  } catch {
    return listenAt(0);
  }
}

function withoutOptions(env: Io["env"]): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("PARLEY_")));
}

const urlOf = (host: string, port: number): string => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
