/**
 * Runs parts one after another, each in its own process, in folders under one temporary folder, which is removed at the
 * end.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ProgressBar } from "../../src/cli/progress-bar.ts";
import type { PartLine } from "./part.ts";
import type { FiguresOf, ParametersOf, PartName } from "./parts.ts";

const PROCESS = join(import.meta.dir, "part-process.ts");
const PRELOAD = join(import.meta.dir, "bun-sqlite-preload.ts");
/** Far more than any part needs; a part that hangs must not block the suite. */
const PART_MS_MAX = 15 * 60_000;

export type Driver = "better-sqlite3" | "bun:sqlite";

type Child = { kill(signal: NodeJS.Signals): void; exited: Promise<number> };

export class PartRunner {
  readonly #root: string;
  readonly #progress: ProgressBar;
  #child: Child | undefined;
  #isEnding = false;

  constructor(parent: string, progress: ProgressBar) {
    mkdirSync(parent, { recursive: true });
    this.#root = mkdtempSync(join(parent, "parley-storage-"));
    this.#progress = progress;
  }

  /** Runs a part in its own folder, which is removed afterwards. */
  async run<Name extends PartName>(
    name: Name,
    label: string,
    parameters: ParametersOf<Name>,
    driver: Driver = "better-sqlite3",
  ): Promise<FiguresOf<Name>> {
    return this.within(name, (directory) => this.runIn(directory, name, label, parameters, driver));
  }

  /** A folder that several parts share. */
  async within<T>(name: string, use: (directory: string) => Promise<T>): Promise<T> {
    const directory = join(this.#root, name);
    mkdirSync(directory);
    try {
      return await use(directory);
    } finally {
      if (!this.#isEnding) rmSync(directory, { recursive: true, force: true });
    }
  }

  async runIn<Name extends PartName>(
    directory: string,
    name: Name,
    label: string,
    parameters: ParametersOf<Name>,
    driver: Driver = "better-sqlite3",
  ): Promise<FiguresOf<Name>> {
    if (this.#isEnding) throw new Error("ended");
    const preload = driver === "bun:sqlite" ? ["--preload", PRELOAD] : [];
    const command = [process.execPath, ...preload, PROCESS, name, JSON.stringify(parameters), directory];
    const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    this.#child = child;
    const killer = setTimeout(() => child.kill("SIGKILL"), PART_MS_MAX);
    try {
      const errors = new Response(child.stderr).text();
      const figures = await this.#figuresOf(child.stdout, label);
      const status = await child.exited;
      if (status !== 0 || figures === undefined)
        throw new Error(`${label}: exit ${status}: ${(await errors).slice(-2000).trim()}`);
      return figures as FiguresOf<Name>;
    } finally {
      clearTimeout(killer);
      child.kill("SIGKILL");
      await child.exited;
    }
  }

  /** Ends the running part and removes all files. */
  async end(): Promise<void> {
    this.#isEnding = true;
    this.#child?.kill("SIGKILL");
    await this.#child?.exited;
    rmSync(this.#root, { recursive: true, force: true });
  }

  async #figuresOf(stdout: ReadableStream<Uint8Array>, label: string): Promise<unknown> {
    const decoder = new TextDecoder();
    let rest = "";
    let figures: unknown;
    let total = 0;
    for await (const chunk of stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const said = JSON.parse(line) as PartLine;
        if ("figures" in said) figures = said.figures;
        else total = this.#show(label, total, said.progress);
      }
    }
    if (figures !== undefined) this.#progress.set(total);
    return figures;
  }

  #show(label: string, total: number, [done, newTotal]: [number, number]): number {
    if (total === 0) this.#progress.phase(label, newTotal);
    this.#progress.set(done);
    return newTotal;
  }
}
