/** A server on a directory that was filled before, so that nothing of its users is in memory yet. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchContext } from "../bench.ts";
import { Filling, type DataIn } from "./filling.ts";
import { startParleyOn, type ParleyProcess } from "./server-process.ts";

export type Filled<T> = { parley: ParleyProcess; data: T };

export async function startFilled<T>(
  { endLater, progress, serveArguments }: BenchContext,
  serve: string[],
  fill: (filling: Filling) => Promise<T>,
  place: DataIn = "own",
): Promise<Filled<T>> {
  progress.phase("filling", 1);
  const directory = mkdtempSync(join(tmpdir(), "parley-bench-"));
  try {
    const filling = await Filling.open(directory, place);
    const data = await fill(filling);
    await filling.close();
    const parley = await endLater(startParleyOn(directory, [...serve, ...serveArguments], undefined, filling.apiKey));
    return { parley, data };
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
}
