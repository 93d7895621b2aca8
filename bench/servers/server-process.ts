/** Servers under measurement, each a process: started, awaited, ended by pid. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

const START_MS = 120_000;
const END_MS = 120_000;
const ROOT = join(import.meta.dir, "../..");

/** Without this machine's PARLEY_ variables, so that the output names all options. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLEY_")));

export type ServerProcess = { readonly pid: number; readonly url: URL; end(signal?: NodeJS.Signals): Promise<void> };

type Piped = Subprocess<"ignore", "pipe", "pipe">;

/** Starts `command` and waits for its line `… listening on URL`. */
export async function startServer(name: string, command: string[]): Promise<ServerProcess> {
  const child = Bun.spawn(command, { cwd: ROOT, env: ENV, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const errors = tailOf(child.stderr);
  try {
    const url = await withTimeout(
      listeningUrl(child),
      START_MS,
      `${name}: did not say that it listens within ${START_MS / 1000} s`,
    );
    return { pid: child.pid, url, end: (signal) => endChild(child, signal) };
  } catch (error) {
    await endChild(child);
    const said = errors().trim();
    throw new Error(`${(error as Error).message}${said === "" ? "" : `; it said: ${said}`}`, { cause: error });
  }
}

export type FloorName = "floor" | "fanout" | "http";
const FLOORS: Record<FloorName, string> = {
  floor: "floor-server.ts",
  fanout: "fanout-server.ts",
  http: "http-floor.ts",
};

/** A bare server for direct messages, for groups, or for HTTP. */
export function startFloorProcess(name: FloorName = "floor"): Promise<ServerProcess> {
  return startServer(name, [process.execPath, join(ROOT, "bench/servers", FLOORS[name])]);
}

/** The floor that writes each batch to a file before it acks, in the system's temporary folder. */
export async function startBareLogProcess(): Promise<ServerProcess> {
  const directory = mkdtempSync(join(tmpdir(), "parley-bare-log-"));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const file = join(ROOT, "bench/servers/floor-server.ts");
  try {
    const server = await startServer("bare log", [process.execPath, file, "--log", join(directory, "log")]);
    return { ...server, end: () => server.end().finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
}

/** `pid` and `url` change when it is started again. */
export type ParleyProcess = ServerProcess & {
  apiKey: string;
  dataDirectory: string;
  /** From the start of the process until it listened, the last time. */
  startSeconds: number;
  /** Ends it and starts it again on the same data. @returns for how many seconds nobody was served */
  restart(signal?: NodeJS.Signals): Promise<number>;
};

/**
 * A server on an empty data directory under the system's temporary folder, removed when it ends.
 * @param root the checkout that it is started from, with its packages
 */
export function startParleyProcess(serveArguments: string[], root = ROOT): Promise<ParleyProcess> {
  return startParleyOn(mkdtempSync(join(tmpdir(), "parley-bench-")), serveArguments, root);
}

/**
 * A server on this data directory, which is removed when it ends.
 * @param knownKey an API key of that directory; without one a new key is made
 */
export async function startParleyOn(
  data: string,
  serveArguments: string[],
  root = ROOT,
  knownKey?: string,
): Promise<ParleyProcess> {
  const main = join(root, "src/main.ts");
  const fixed = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", data];
  let startSeconds = 0;
  const start = async () => {
    const from = performance.now();
    const started = await startServer("parley", [process.execPath, main, ...fixed, ...serveArguments]);
    startSeconds = (performance.now() - from) / 1000;
    return started;
  };
  const remove = () => rmSync(data, { recursive: true, force: true });
  let server: ServerProcess;
  /** `end` waits for it, because the restarted server must be ended, too. */
  let restarting: Promise<void> = Promise.resolve();
  const again = async (signal: NodeJS.Signals): Promise<void> => {
    await server.end(signal);
    server = await start();
  };
  try {
    const apiKey = knownKey ?? (await createApiKey(data, main));
    server = await start();
    return {
      apiKey,
      dataDirectory: data,
      get pid() {
        return server.pid;
      },
      get startSeconds() {
        return startSeconds;
      },
      get url() {
        return server.url;
      },
      async restart(signal = "SIGTERM") {
        const from = performance.now();
        restarting = again(signal);
        await restarting;
        return (performance.now() - from) / 1000;
      },
      async end() {
        await restarting.catch(() => {});
        await server.end().finally(remove);
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** `parley keys create` prints the key as the only word of a line, or as the last one. */
export async function createApiKey(data: string, main = join(ROOT, "src/main.ts")): Promise<string> {
  const command = [process.execPath, main, "keys", "create", "--data", data, "--name", "bench"];
  const child = Bun.spawn(command, { cwd: ROOT, env: ENV, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const work = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  const [out, errors, status] = await withTimeout(work, START_MS, "parley keys create: took too long").finally(() =>
    child.kill(),
  );
  const key = out.trim().split(/\s+/).at(-1);
  if (status !== 0 || key === undefined || key === "")
    throw new Error(`parley keys create: exit ${status}: ${errors.trim() || "no key printed"}`);
  return key;
}

async function listeningUrl(child: Piped): Promise<URL> {
  const decoder = new TextDecoder();
  const reader = child.stdout.getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the server ended with status ${await child.exited} before it listened`);
    text += decoder.decode(value, { stream: true });
    const url = /listening on (http:\/\/\S+)\n/.exec(text)?.[1];
    if (url !== undefined) {
      void drain(reader);
      return new URL(url);
    }
  }
}

/** Keeps reading, so that a server that prints never blocks on a full pipe. */
async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

function tailOf(stream: ReadableStream<Uint8Array>): () => string {
  let tail = "";
  const decoder = new TextDecoder();
  void (async () => {
    for await (const chunk of stream) tail = (tail + decoder.decode(chunk, { stream: true })).slice(-2000);
  })();
  return () => tail;
}

async function endChild(
  child: { kill(signal?: NodeJS.Signals): void; exited: Promise<number> },
  signal: NodeJS.Signals = "SIGTERM",
): Promise<void> {
  child.kill(signal);
  const killer = setTimeout(() => child.kill("SIGKILL"), END_MS);
  await child.exited;
  clearTimeout(killer);
}

export async function withTimeout<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  return Promise.race([work, expired]).finally(() => clearTimeout(timer));
}
