/**
 * `FAULTY_ROUTER=seed` in the environment: on a node of a test, what crosses between shards is lost, repeated, late and
 * out of order, and members see groups through mirrors that are fed by what crosses.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { MessageIds } from "../../src/domain/message-id.ts";
import { FollowedMirrors } from "../../src/home/mirrors/followed-mirrors.ts";
import type { MirrorParts } from "../../src/home/mirrors/mirror-parts.ts";
import type { NodeParts } from "../../src/node/node.ts";
import { FaultyRouter } from "./faulty-router.ts";
import { FaultyWire } from "./faulty-wire.ts";
import { randomFrom } from "./random.ts";

/** A test waits for what was lost, and has many people in it. */
const MILD = { lost: 0.02, repeated: 0.1, late: 0.3, lateTicksMax: 6, cut: 0.001, cutTicksMax: 40 };

/** Lost casts are found so often. */
const COMPARE_MS = 100;

export const FAULTY_ROUTER = process.env["FAULTY_ROUTER"];

export type FaultyNode = { readonly router: FaultyRouter; readonly parts: Pick<NodeParts, "router" | "mirrors"> };

/** For a node on this data directory; undefined if nothing is to be lost. */
export function faultyNode(directory: string): FaultyNode | undefined {
  if (FAULTY_ROUTER === undefined) return undefined;
  const wire = new FaultyWire(randomFrom(Number(FAULTY_ROUTER)), (run) => void setTimeout(run, 1), MILD);
  let ids: MessageIds | undefined;
  const router = new FaultyRouter(wire, () => (ids ??= new MessageIds(readFileSync(join(directory, "id.key")))), {
    askAgainTicks: 25,
  });
  router.hasFaultyCasts = true;
  // An ask may be lost, too, and is repeated.
  router.castsFoundMs = 10 * COMPARE_MS;
  const mirrors = (of: MirrorParts) => new FollowedMirrors(of, { compareMs: COMPARE_MS });
  return { router, parts: { router: router.around, mirrors } };
}
