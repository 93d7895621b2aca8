/** A server that can be killed with -9 and restarted on the same port and data any number of times. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const MAIN = join(ROOT, "src/main.ts");
const START_MS = 60_000;
const END_MS = 30_000;

type Child = { pid: number; exited: Promise<number>; kill(signal: NodeJS.Signals): void };

export class FiredServer {
  private child: Child | undefined;
  private busy: Promise<void> = Promise.resolve();
  private port = 0;
  kills = 0;
  apiKey = "";
  /** Seconds from each start of the process to its line "listening on". */
  readonly startSeconds: number[] = [];
  private fail!: (error: Error) => void;
  /** Rejects when the server could not be started again. */
  readonly failed = new Promise<never>((_, reject) => (this.fail = reject));

  private constructor(private readonly data: string) {
    // Callers that race against it get the rejection; it may also stay unhandled.
    this.failed.catch(() => {});
  }

  static async start(): Promise<FiredServer> {
    const server = new FiredServer(mkdtempSync(join(tmpdir(), "parley-fire-")));
    try {
      server.apiKey = await server.createApiKey();
      await server.launch();
    } catch (error) {
      await server.end();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  private async createApiKey(): Promise<string> {
    const child = Bun.spawn([process.execPath, MAIN, "keys", "create", "--name", "import", "--data", this.data], {
      stdin: "ignore",
      stderr: "pipe",
    });
    const [key, errors, status] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (status !== 0) throw new Error(`parley keys create: exit ${status}: ${errors.trim()}`);
    return key.trim();
  }

  /** Kills at once; the restart runs in the background. A kill during a start waits for it. */
  killAndRestart(): void {
    this.busy = this.busy.then(async () => {
      this.kills++;
      this.child?.kill("SIGKILL");
      await this.child?.exited;
      await this.launch();
    });
    this.busy = this.busy.catch((error: Error) => this.fail(error));
  }

  /** SIGTERM, and -9 when that takes too long. Removes the data. @returns the exit status */
  async end(): Promise<number | undefined> {
    await this.busy;
    const { child } = this;
    child?.kill("SIGTERM");
    const killer = setTimeout(() => child?.kill("SIGKILL"), END_MS);
    const status = await child?.exited;
    clearTimeout(killer);
    rmSync(this.data, { recursive: true, force: true });
    return status;
  }

  private async launch(): Promise<void> {
    const began = performance.now();
    const words = ["serve", "--host", "127.0.0.1", "--port", String(this.port), "--data", this.data];
    const child = Bun.spawn([process.execPath, MAIN, ...words], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    this.child = child;
    const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
    try {
      this.port = await portSaid(child.stdout);
    } finally {
      clearTimeout(timer);
    }
    this.startSeconds.push(Math.round(performance.now() - began) / 1000);
  }
}

/** Reads and drops the rest of the output, so that the server never blocks on a full pipe. */
async function portSaid(stdout: ReadableStream<Uint8Array>): Promise<number> {
  const reader = stdout.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the server ended before it listened${text === "" ? "" : `: ${text}`}`);
    text += decoder.decode(value, { stream: true });
    const port = /listening on http:\/\/[^\s:]+:(\d+)/.exec(text)?.[1];
    if (port === undefined) continue;
    void (async () => {
      while (!(await reader.read()).done);
    })().catch(() => {});
    return Number(port);
  }
}
