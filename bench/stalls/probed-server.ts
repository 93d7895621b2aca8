/** Starts a server with a probe in its event loop, and an idle loop with another. */
import { join } from "node:path";
import { withTimeout } from "../servers/server-process.ts";
import type { Gap } from "./loop-probe.ts";
import type { Answered, Asked } from "./probe-messages.ts";

const WAIT_MS = 60_000;
const OPTIONS = ["--port", "0", "--log-level", "error", "--send-burst", "1000000", "--group-members-max", "10000"];

type Measured = { server: Gap; idle: Gap };

export class ProbedServer {
  readonly #child: Bun.Subprocess<"ignore", "inherit", "inherit">;
  readonly #idle = new Worker(new URL("./idle-loop.ts", import.meta.url));
  readonly #heard: ((message: unknown) => void)[] = [];
  url = "";

  static async start(directory: string): Promise<ProbedServer> {
    const server = new ProbedServer(directory);
    const ready = await withTimeout(server.#hear(), WAIT_MS, "the server did not start");
    server.url = (ready as { url: string }).url;
    return server;
  }

  private constructor(directory: string) {
    this.#child = Bun.spawn([process.execPath, join(import.meta.dir, "server.ts"), "--data", directory, ...OPTIONS], {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
      ipc: (message) => this.#heard.shift()?.(message),
    });
  }

  /** The longest gaps in the loops of the server and of the idle one while `work` runs. */
  async measure(work: () => Promise<void>): Promise<Measured> {
    await Promise.all([this.#ask("begin"), this.#askIdle("begin")]);
    await work();
    const [server, idle] = await Promise.all([this.#ask("end"), this.#askIdle("end")]);
    return { server: server as Gap, idle: idle as Gap };
  }

  async end(): Promise<void> {
    this.#idle.terminate();
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  #hear(): Promise<unknown> {
    return new Promise((resolve) => this.#heard.push(resolve));
  }

  #ask(asked: Asked): Promise<Answered> {
    const answer = this.#hear() as Promise<Answered>;
    this.#child.send(asked);
    return withTimeout(answer, WAIT_MS, `the server did not answer ${asked}`);
  }

  #askIdle(asked: Asked): Promise<Answered> {
    return new Promise((resolve) => {
      this.#idle.onmessage = ({ data }: MessageEvent<Answered>) => resolve(data);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's, not a window's
      this.#idle.postMessage(asked);
    });
  }
}
