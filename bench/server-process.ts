/** Servers under measurement, each a process: started, awaited, ended by pid. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";

const START_MS = 20_000;
const END_MS = 20_000;
const ROOT = join(import.meta.dir, "..");

/** Without this machine's PARLEY_ variables, so that the output names all options. */
const ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLEY_")));

export type ServerProcess = { readonly pid: number; readonly url: URL; end(): Promise<void> };

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
    return { pid: child.pid, url, end: () => endChild(child) };
  } catch (error) {
    await endChild(child);
    const said = errors().trim();
    throw new Error(`${(error as Error).message}${said === "" ? "" : `; it said: ${said}`}`, { cause: error });
  }
}

export function startFloorProcess(): Promise<ServerProcess> {
  return startServer("floor", [process.execPath, join(ROOT, "bench/floor-server.ts")]);
}

/** `pid` and `url` change when it is started again. */
export type ParleyProcess = ServerProcess & {
  apiKey: string;
  dataDirectory: string;
  /** Ends it with SIGTERM and starts it again on the same data. @returns for how many seconds nobody was served */
  restart(): Promise<number>;
};

/**
 * A server on an empty data directory under the system's temporary folder, removed when it ends.
 * @param root the checkout that it is started from, with its packages
 */
export async function startParleyProcess(serveArguments: string[], root = ROOT): Promise<ParleyProcess> {
  const main = join(root, "src/main.ts");
  const data = mkdtempSync(join(tmpdir(), "parley-bench-"));
  const fixed = ["serve", "--host", "127.0.0.1", "--port", "0", "--data", data];
  const start = () => startServer("parley", [process.execPath, main, ...fixed, ...serveArguments]);
  const remove = () => rmSync(data, { recursive: true, force: true });
  let server: ServerProcess;
  /** `end` waits for it, because the restarted server must be ended, too. */
  let restarting: Promise<void> = Promise.resolve();
  const again = async (): Promise<void> => {
    await server.end();
    server = await start();
  };
  try {
    const apiKey = await createApiKey(data, main);
    server = await start();
    return {
      apiKey,
      dataDirectory: data,
      get pid() {
        return server.pid;
      },
      get url() {
        return server.url;
      },
      async restart() {
        const from = performance.now();
        restarting = again();
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

async function endChild(child: { kill(signal?: NodeJS.Signals): void; exited: Promise<number> }): Promise<void> {
  child.kill("SIGTERM");
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
