/** A peer's server: a process in a temporary folder, on a loopback port, ended by its id with all it started. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processTree } from "../measure/process-cpu.ts";
import { withTimeout, type ServerProcess } from "../servers/server-process.ts";

const START_MS = 20_000;
const LOG_SHOWN = 2000;

export type PeerCommand = {
  command: string[];
  environment?: Record<string, string>;
  /** Where it writes what went wrong, besides its output. */
  log?: string;
};

/** `prepare` writes the configuration into the folder, and says what to start so that it listens on the port. */
export async function startPeerProcess(
  name: string,
  prepare: (directory: string, port: number) => PeerCommand,
): Promise<ServerProcess & { directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), `parley-bench-${name}-`));
  const remove = () => rmSync(directory, { recursive: true, force: true });
  try {
    const port = freePort();
    const { command, environment, log } = prepare(directory, port);
    const output = Bun.file(join(directory, "output"));
    const child = Bun.spawn(command, {
      ...{ cwd: directory, stdin: "ignore", stdout: output, stderr: output },
      // Without this machine's variables for these servers, so that the settings are those that the bench names.
      env: { PATH: process.env["PATH"], LANG: "C.UTF-8", HOME: directory, ...environment },
    });
    let ended: Promise<void> | undefined;
    // The process has no id any more once it ended, so it is ended only once.
    const end = () => (ended ??= endTree(child).finally(remove));
    try {
      const listening = listens(port, child);
      await withTimeout(listening, START_MS, `did not listen within ${START_MS / 1000} s`);
    } catch (error) {
      const said = [join(directory, "output"), log]
        .map((file) => tailOf(file))
        .join(" ")
        .trim();
      await end();
      throw new Error(`${(error as Error).message}; it said: ${said}`, { cause: error });
    }
    return { pid: child.pid, url: new URL(`tcp://127.0.0.1:${port}`), directory, end };
  } catch (error) {
    remove();
    throw error;
  }
}

/** A port that was free a moment ago: these servers cannot say which one they took. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

async function listens(port: number, child: { exitCode: number | null }): Promise<void> {
  for (const until = performance.now() + START_MS; performance.now() < until;) {
    if (child.exitCode !== null) throw new Error(`ended with status ${child.exitCode} before it listened`);
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => {} } }).catch(() => {});
    if (socket !== undefined) return void socket.end();
    await Bun.sleep(20);
  }
}

const tailOf = (file: string | undefined): string =>
  file !== undefined && existsSync(file) ? readFileSync(file, "utf8").slice(-LOG_SHOWN) : "";

/** Nothing of it is needed any more, so it gets no time to write. */
async function endTree(child: { pid: number; exitCode: number | null; exited: Promise<number> }): Promise<void> {
  for (const pid of child.exitCode === null ? processTree(child.pid) : []) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
  await child.exited;
}
