/** Real processes for the tests of the command line: started, watched, and always ended. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const ROOT = join(import.meta.dir, "../..");
export const MAIN = join(ROOT, "src/main.ts");
export const BUN = process.execPath;

const WAIT_MS = 30_000;
const LOOK_EVERY_MS = 20;

/** Waits for a condition, not for a time. */
export async function until(what: string, holds: () => boolean, waitMs = WAIT_MS): Promise<void> {
  const giveUpAt = performance.now() + waitMs;
  while (!holds()) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${waitMs} ms in vain until ${what}`);
    await Bun.sleep(LOOK_EVERY_MS);
  }
}

export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "parley-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export type Started = {
  pid: number;
  stdout: () => string;
  stderr: () => string;
  exited: Promise<number>;
  kill: (signal: NodeJS.Signals) => void;
};

export function start(
  command: string[],
  options: { cwd?: string; env?: Record<string, string | undefined> } = {},
): Started {
  const child = Bun.spawn(command, {
    cwd: options.cwd ?? ROOT,
    env: options.env ?? personsEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const out = collect(child.stdout);
  const err = collect(child.stderr);
  const exited = child.exited.then(async () => {
    await Promise.race([Promise.all([out.done, err.done]), Bun.sleep(1000)]);
    return child.exitCode ?? 128;
  });
  return { pid: child.pid, stdout: out.text, stderr: err.text, exited, kill: (signal) => child.kill(signal) };
}

/** Runs to the end. */
export async function run(command: string[], options: { cwd?: string; env?: Record<string, string | undefined> } = {}) {
  const started = start(command, options);
  const status = await started.exited;
  return { status, stdout: started.stdout(), stderr: started.stderr() };
}

/** What a shell has: nothing of the npm run that these tests may be part of, and no option set through a variable. */
export function personsEnvironment(changes: Record<string, string> = {}): Record<string, string | undefined> {
  const isForeign = (name: string) =>
    /^(npm_(lifecycle|package|command|execpath|node_execpath|config_local_prefix)|INIT_CWD$|NODE$|COLOR$|BUN_|PARLEY_)/.test(
      name,
    );
  const kept = Object.entries(process.env).filter(([name]) => !isForeign(name));
  return { ...Object.fromEntries(kept), ...changes };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function collect(stream: ReadableStream<Uint8Array>): { text: () => string; done: Promise<void> } {
  let text = "";
  const decoder = new TextDecoder();
  const read = async () => {
    for await (const bytes of stream) text += decoder.decode(bytes, { stream: true });
  };
  return { text: () => text, done: read() };
}
