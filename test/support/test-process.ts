/**
 * The program itself as a child process: killed, stopped and started again on the same data. With `FAULTY_ROUTER=seed`
 * in the environment, one whose router is faulty, in another way after each start (faulty-program.ts).
 */
import { join } from "node:path";
import { Api } from "./api.ts";
import { dataDirectory, type DataDirectory } from "./data-directory.ts";
import { Device, type DeviceCursor } from "./device.ts";
import { FAULTY_ROUTER } from "./faulty-node.ts";
import { within } from "./wait.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";

const MAIN = join(import.meta.dir, FAULTY_ROUTER === undefined ? "../../src/main.ts" : "faulty-program.ts");
const READY = /parley listening on (http:\/\/\S+)\n/;
/** A test asks faster than people do. Tests of limits set their own. */
export const UNHURRIED = ["--call-rate", "1000000", "--connect-rate", "1000000", "--read-rate", "1000000"];
const START_WAIT_MS = 60_000;

export class TestProcess {
  readonly api: Api;
  readonly #data: DataDirectory;
  readonly #command: string[];
  readonly #args: string[];
  #child: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #stderr = "";
  #starts = 0;

  static async start(...args: string[]): Promise<TestProcess> {
    return TestProcess.startOn(await dataDirectory(), MAIN, ...args);
  }

  /** @param program in the place of the program itself, with the same command line */
  static async startOn(data: DataDirectory, program: string, ...args: string[]): Promise<TestProcess> {
    return TestProcess.#begin(data, [process.execPath, program], args);
  }

  /** @param before the command is given to this one, such as a shell that sets a limit */
  static async startBy(before: string[], ...args: string[]): Promise<TestProcess> {
    return TestProcess.#begin(await dataDirectory(), [...before, process.execPath, MAIN], args);
  }

  static async #begin(data: DataDirectory, command: string[], args: string[]): Promise<TestProcess> {
    const started = new TestProcess(data, command, args);
    await started.start();
    return started;
  }

  private constructor(data: DataDirectory, command: string[], args: string[]) {
    this.#data = data;
    this.#command = command;
    this.#args = args;
    this.api = new Api("", data.apiKey);
  }

  get url(): string {
    return this.api.url;
  }

  get dataDirectory(): string {
    return this.#data.path;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get pid(): number {
    return this.#child!.pid;
  }

  async start(): Promise<void> {
    const cheap = ["--argon2-memory-kb", "8", "--argon2-passes", "1", ...UNHURRIED];
    const fixed = ["--port", "0", "--data", this.#data.path, ...cheap];
    const child = Bun.spawn([...this.#command, "serve", ...fixed, ...this.#args], {
      env: this.#environment(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#child = child;
    void this.#collect(child.stderr);
    this.api.url = await within("the ready line", readyUrl(child.stdout), START_WAIT_MS).catch((error: unknown) => {
      throw new Error(`the server did not start: ${this.#stderr.slice(-1000)}`, { cause: error });
    });
  }

  #environment(): Record<string, string | undefined> {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PARLEY_")));
    if (FAULTY_ROUTER === undefined) return env;
    return { ...env, FAULTY_ROUTER: String(Number(FAULTY_ROUTER) + this.#starts++) };
  }

  connect(who: Pick<Credentials, "token">, cursor?: DeviceCursor): Promise<Device> {
    return Device.connect(this.url, who, cursor);
  }

  /** Ends it at once, as a power cut of the process would. */
  async kill(): Promise<void> {
    this.#child!.kill("SIGKILL");
    await within("the killed server to be gone", this.#child!.exited);
  }

  /** Asks it to go. @returns the exit status */
  async stop(): Promise<number> {
    this.#child!.kill("SIGTERM");
    return within("the server to drain", this.#child!.exited);
  }

  async remove(): Promise<void> {
    if (this.#child?.exitCode === null) await this.kill();
    this.#data.remove();
  }

  async #collect(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) this.#stderr += decoder.decode(bytes, { stream: true });
  }
}

async function readyUrl(stdout: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stdout) {
    text += decoder.decode(bytes, { stream: true });
    const url = READY.exec(text)?.[1];
    if (url !== undefined) return url;
  }
  throw new Error(`the server ended, it said ${JSON.stringify(text)}`);
}
