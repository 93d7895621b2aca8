/** Runs a bench: starts its clock, ends whatever it started, and names machine, commit and parameters. */
import { ProgressBar, type ProgressOutput } from "../src/cli/progress-bar.ts";
import { isMet, type Bench, type BenchContext, type Outcome, type Size } from "./bench.ts";
import { describeCommit, describeMachine, type Machine } from "./measure/machine.ts";
import { round3 } from "./measure/ranges.ts";

export type RunOptions = Pick<BenchContext, "size" | "corpus" | "directory" | "serveArguments" | "beside">;

export type BenchResult = Outcome & {
  name: string;
  at: string;
  commit: string;
  besideCommit?: string;
  machine: Machine;
  size: Size;
  serveArguments: string[];
  parameters: object;
  seconds: number;
};

export async function runBench<Parameters extends object>(
  bench: Bench<Parameters>,
  parameters: Parameters,
  options: RunOptions,
  output: ProgressOutput,
  interrupted: Promise<never>,
): Promise<BenchResult> {
  const began = performance.now();
  const commit = describeCommit();
  const progress = new ProgressBar(bench.name, 1, output);
  const outcome = await withEndings((endLater) => {
    const running = bench.run(parameters, { ...options, progress, endLater, interrupted });
    return { running, raced: Promise.race([running, interrupted]) };
  });
  progress.finish();
  return {
    name: bench.name,
    at: new Date().toISOString(),
    commit: sameCommit(commit, describeCommit()),
    ...(options.beside !== undefined && { besideCommit: describeCommit(options.beside) }),
    machine: describeMachine(),
    size: options.size,
    serveArguments: options.serveArguments,
    parameters,
    ...outcome,
    seconds: round3((performance.now() - began) / 1000),
  };
}

type EndLater = BenchContext["endLater"];

async function withEndings<T>(run: (endLater: EndLater) => { running: Promise<T>; raced: Promise<T> }): Promise<T> {
  const ends: (() => Promise<void>)[] = [];
  let isEnding = false;
  const endLater: EndLater = async (starting) => {
    const started = await starting;
    if (isEnding) {
      await started.end();
      throw new Error("ended while it was starting");
    }
    ends.unshift(() => started.end());
    return started;
  };
  const { running, raced } = run(endLater);
  try {
    return await raced;
  } finally {
    isEnding = true;
    for (const end of ends) await end();
    // After an interruption it fails because its processes were ended, or ends the one that it was starting.
    await running.catch(() => {});
  }
}

/** Every process reads the checkout anew. If that changed during the run, the figures are of more than one commit. */
function sameCommit(atStart: string, atEnd: string): string {
  return atStart === atEnd ? atStart : `${atStart} to ${atEnd}, changed while it ran`;
}

/** One line of JSON. The charts repeat the figures, so they are left out. */
export function jsonLine(result: BenchResult): string {
  const { name, charts: _, tables: __, figures, aims, ...rest } = result;
  const judged = aims.map((aim) => ({ ...aim, isMet: isMet(aim) }));
  return JSON.stringify({ suite: name, ...rest, aims: judged, ...figures });
}
