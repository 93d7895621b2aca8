/**
 * A rebalance plan as a file. It is the journal of its moves too: each step is in it before it is begun and after it has
 * ended, durably, so `parley rebalance apply` goes on after a crash anywhere. A lock keeps two programs apart.
 */
import * as fs from "node:fs";
import { randomUUID } from "node:crypto";
import { writeFileDurably } from "../../base/durable-file.ts";
import type { BalancedBy } from "../../cluster/map/shard-loads.ts";
import { writeMap } from "../../cluster/map/map-file.ts";
import type { NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import { ALL_SHARDS, type ShardId } from "../../../storage/types.ts";
import { systemFlock } from "../directory-lock.ts";
import { FatalError } from "../fatal-error.ts";
import { mapFrom, readText } from "./cluster-options.ts";

/**
 * `planned` → `moving` → `moved` by apply, `returning` → `returned` by undo, and `failed` where one of both gave up: the
 * same command tries again.
 */
export const STEP_STATES = ["planned", "moving", "moved", "returning", "returned", "failed"] as const;
export type StepState = (typeof STEP_STATES)[number];

export type Step = {
  readonly shard: ShardId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly bytes: number;
  state: StepState;
  /** How often a move of it was begun. */
  attempts: number;
  /** For how long nobody wrote to it, ms. */
  pauseMs?: number | undefined;
  why?: string | undefined;
};

export const PHASES = ["planned", "applying", "applied", "undoing", "undone"] as const;
export type Phase = (typeof PHASES)[number];

export type PlanFile = {
  readonly parley: "rebalance-plan";
  readonly format: 1;
  readonly id: string;
  readonly by: BalancedBy;
  /** Version of the map that it was made for. */
  readonly mapVersion: number;
  /** Where the operator keeps the map. */
  readonly mapFile: string;
  phase: Phase;
  /** The map that the nodes have. */
  map: unknown;
  /** The map that is being brought to the nodes, at the end of apply and undo. */
  next?: unknown;
  readonly steps: Step[];
};

export type NewPlan = Pick<PlanFile, "by" | "mapFile"> & { steps: Pick<Step, "shard" | "from" | "to" | "bytes">[] };

export function newPlan(map: PartitionMap, { by, mapFile, steps }: NewPlan): PlanFile {
  return {
    parley: "rebalance-plan",
    format: 1,
    id: randomUUID(),
    by,
    mapVersion: map.mapVersion,
    mapFile,
    phase: "planned",
    map: JSON.parse(writeMap(map)) as unknown,
    steps: steps.map((step) => ({ ...step, state: "planned", attempts: 0 })),
  };
}

export const writePlan = (path: string, plan: PlanFile): Promise<void> =>
  writeFileDurably(path, Buffer.from(`${JSON.stringify(plan, null, 1)}\n`), 0o600);

/** The map that the nodes should have, or the one that they are getting. */
export const planMap = (path: string, plan: PlanFile, which: "map" | "next" = "map"): PartitionMap =>
  mapFrom(`${path}: its map`, JSON.stringify(plan[which]));

/** @throws FatalError usage */
export async function readPlan(path: string): Promise<PlanFile> {
  const text = await readText(path, "the plan");
  let plan: PlanFile;
  try {
    plan = JSON.parse(text) as PlanFile;
  } catch (cause) {
    throw unusable(path, "it is not JSON", cause);
  }
  if (plan?.parley !== "rebalance-plan") throw unusable(path, 'it is no plan: "parley" is not "rebalance-plan"');
  if (plan.format !== 1) throw unusable(path, `its format is ${String(plan.format)}, and this version knows format 1`);
  if (!PHASES.includes(plan.phase) || !Array.isArray(plan.steps)) throw unusable(path, "it has no phase, or no steps");
  const { nodes } = planMap(path, plan);
  for (const { shard, from, to, state } of plan.steps)
    if (!ALL_SHARDS.includes(shard) || !nodes.has(from) || !nodes.has(to) || !STEP_STATES.includes(state))
      throw unusable(path, `its step of shard ${String(shard)} is none`);
  return plan;
}

const unusable = (path: string, why: string, cause?: unknown): FatalError =>
  new FatalError("usage", `${path}: ${why}`, {
    hint: "make a plan with parley rebalance plan; nothing was changed",
    cause,
  });

/** Keeps other programs away from the plan until the returned function is called, or this process ends. */
export function lockPlan(path: string): () => void {
  const lock = `${path}.lock`;
  for (;;) {
    const file = fs.openSync(lock, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    const outcome = systemFlock(file, "exclusive");
    if (outcome === "locked" && fs.statSync(lock, { throwIfNoEntry: false })?.ino === fs.fstatSync(file).ino)
      return () => {
        fs.rmSync(lock, { force: true });
        fs.closeSync(file);
      };
    fs.closeSync(file);
    // Where nothing can be locked, the logs of the shards keep two programs apart as well.
    if (outcome === "held")
      throw new FatalError("dataLocked", `${path} is being worked on by another parley rebalance`, {
        hint: "wait for it, or stop it; then run this again",
      });
    if (outcome !== "locked") return () => fs.rmSync(lock, { force: true });
  }
}
