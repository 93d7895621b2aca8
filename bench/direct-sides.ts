/**
 * Servers for direct messages, each with a load of its own: Parley, the floor, and the floor with a bare log. With
 * `--beside` the server of another checkout stands in the place of both.
 */
import type { BenchContext } from "./bench.ts";
import { startLoad, type LoadProcess } from "./load/load-process.ts";
import { floorPairs, provisionPairs } from "./servers/provision.ts";
import { UNLIMITED_SENDS } from "./servers/unlimited.ts";
import {
  startBareLogProcess,
  startFloorProcess,
  startParleyProcess,
  type ParleyProcess,
  type ServerProcess,
} from "./servers/server-process.ts";

export type SideName = "parley" | "floor" | "bare log" | "beside";
export type DirectSide = { server: ServerProcess; load: LoadProcess };
export type DirectSides = {
  names: SideName[];
  /** Side that ratios are taken to. */
  reference: SideName;
  parley: ParleyProcess;
  loadOf: (name: SideName) => LoadProcess;
  sideOf: (name: SideName) => DirectSide;
};

export async function startDirectSides(
  context: BenchContext,
  pairs: number,
  lines: string[],
  serveArguments = UNLIMITED_SENDS,
): Promise<DirectSides> {
  const names: SideName[] = context.beside === undefined ? ["parley", "floor", "bare log"] : ["parley", "beside"];
  const started = new Map<SideName, DirectSide>();
  const served = [...serveArguments, ...context.serveArguments];
  const parley = await context.endLater(startParleyProcess(served));
  for (const name of names) {
    const server = name === "parley" ? parley : await context.endLater(startOther(name, served, context.beside));
    const users = await usersOf(name, server, pairs, context);
    started.set(name, { server, load: await context.endLater(startLoad(name, server, users, lines)) });
  }
  const sideOf = (name: SideName): DirectSide => started.get(name)!;
  return { names, reference: names.at(-1)!, parley, sideOf, loadOf: (name) => sideOf(name).load };
}

function startOther(name: SideName, served: string[], beside: string | undefined): Promise<ServerProcess> {
  if (name === "floor") return startFloorProcess();
  return name === "bare log" ? startBareLogProcess() : startParleyProcess(served, beside);
}

async function usersOf(name: SideName, server: ServerProcess, pairs: number, { progress }: BenchContext) {
  const isFloor = name === "floor" || name === "bare log";
  return isFloor ? floorPairs(pairs) : await provisionPairs(server as ParleyProcess, pairs, progress);
}

/** What each side has on disk when it acks. */
export const DURABLE_SENT =
  "Parley says sent when the message is on disk (O_DSYNC). The floor stores nothing. The floor with a bare log " +
  "writes each batch of messages to a file (O_DSYNC, as write and fdatasync) before it says sent, and forgets it.";
