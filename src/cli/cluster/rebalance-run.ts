/** `parley rebalance apply` and `undo`: make the moves of a plan, or take them back, and bring the next map to the nodes. */
import { systemClock } from "../../base/clock.ts";
import type { AdminClient } from "../../cluster/admin-client.ts";
import { MapError, readMap, writeMap } from "../../cluster/map/map-file.ts";
import { fingerprintOf, type PartitionMap } from "../../cluster/map/partition-map.ts";
import type { NodeProgress } from "../../node/cluster/admin.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS, FatalError } from "../fatal-error.ts";
import type { Io } from "../io.ts";
import { integer, parseOptions, splitWords, type OptionValues } from "../options.ts";
import { counted, formatBytes, oneWord } from "../tool-options.ts";
import { adminClient, JSON_OBJECT, readText, SECRET_FILE, writeMapFile } from "./cluster-options.ts";
import { askNodes, listed, mustHaveMap, nextMap, ownershipsOf, publish } from "./cluster-view.ts";
import { MovesProgress } from "./moves-progress.ts";
import {
  lockPlan,
  planMap,
  readPlan,
  writePlan,
  type Phase,
  type PlanFile,
  type Step,
  type StepState,
} from "./plan-file.ts";
import { ShardMover } from "./shard-mover.ts";

const MEGABYTE = 1_000_000;
const section = "Options";

const OPTIONS = {
  secretFile: SECRET_FILE,
  rate: integer({ section, summary: "megabytes a second of all moves together", initial: 50, min: 1, max: 100_000 }),
  atOnce: integer({ section, summary: "shards that move at once", initial: 8, min: 1, max: 32 }),
  attempts: integer({ section, summary: "how often a move that fails is begun", initial: 5, min: 1, max: 100 }),
  patience: integer({
    section,
    summary: "seconds that a node may not answer, or a move make no progress",
    initial: 120,
    min: 1,
    max: 86_400,
  }),
  json: JSON_OBJECT,
};

type Direction = {
  readonly word: "apply" | "undo";
  /** Phases in which the direction may be begun or gone on with, the phase meanwhile, and the phase after. */
  readonly from: readonly Phase[];
  readonly during: Phase;
  readonly after: Phase;
  /** Of a step. */
  readonly states: { readonly during: StepState; readonly done: StepState };
};

const APPLY: Direction = {
  word: "apply",
  from: ["planned", "applying"],
  during: "applying",
  after: "applied",
  states: { during: "moving", done: "moved" },
};
const UNDO: Direction = {
  word: "undo",
  from: ["applying", "applied", "undoing"],
  during: "undoing",
  after: "undone",
  states: { during: "returning", done: "returned" },
};

export const rebalanceApply: SubCommand = {
  name: "apply",
  usage: "rebalance apply PLAN --secret-file FILE [options]",
  summary: "move the shards of a plan; begun again, it goes on where it was",
  note:
    "PLAN is its journal: keep it. After a crash of this program or of a node, run the same command again. Clients stay " +
    "connected, or are sent to the new node.",
  options: OPTIONS,
  run: (args, io) => run(APPLY, args, io),
};

export const rebalanceUndo: SubCommand = {
  name: "undo",
  usage: "rebalance undo PLAN --secret-file FILE [options]",
  summary: "move back what a plan has moved",
  note: "It can be begun again, as apply can.",
  options: OPTIONS,
  run: (args, io) => run(UNDO, args, io),
};

async function run(direction: Direction, args: string[], io: Io): Promise<number> {
  const { words, options: flags } = splitWords(OPTIONS, args);
  const options = parseOptions(OPTIONS, flags, io.env);
  const path = oneWord(words, "plan");
  const client = await adminClient(options.secretFile);
  await readPlan(path);
  const unlock = lockPlan(path);
  try {
    // Read under the lock: another program may have just ended.
    return await new PlanRun(path, await readPlan(path), client, direction, options, io).run();
  } finally {
    unlock();
  }
}

class PlanRun {
  readonly #path: string;
  readonly #plan: PlanFile;
  readonly #client: AdminClient;
  readonly #direction: Direction;
  readonly #options: OptionValues<typeof OPTIONS>;
  readonly #io: Io;

  constructor(
    path: string,
    plan: PlanFile,
    client: AdminClient,
    direction: Direction,
    options: OptionValues<typeof OPTIONS>,
    io: Io,
  ) {
    this.#path = path;
    this.#plan = plan;
    this.#client = client;
    this.#direction = direction;
    this.#options = options;
    this.#io = io;
  }

  async run(): Promise<number> {
    const { after, during } = this.#direction;
    if (this.#plan.phase === after) return this.#report(0, new Map());
    this.#mayBegin();
    await this.#mustFit();
    const startedAt = systemClock.monotonicMs();
    // The other direction crashed after its moves: its map may be at some nodes already, so it goes to all.
    if (this.#plan.next !== undefined && this.#plan.phase !== during) await this.#publishNext("applied");
    this.#plan.phase = during;
    await this.#save();
    await this.#move();
    const failed = this.#steps().filter(({ state }) => state === "failed");
    if (failed.length > 0) throw this.#unfinished(failed);
    const silent = await this.#publishNext(after);
    return this.#report(systemClock.monotonicMs() - startedAt, silent);
  }

  #mayBegin(): void {
    const { from, word } = this.#direction;
    const { phase } = this.#plan;
    if (from.includes(phase)) return;
    const hint =
      word === "undo" && phase === "planned"
        ? "nothing has moved, so there is nothing to undo"
        : phase === "undoing"
          ? "finish with parley rebalance undo, then make a new plan"
          : "make a new plan";
    throw new FatalError("failed", `${this.#path} is ${phase}, so ${word} cannot begin`, { hint });
  }

  /** The nodes have the map of the plan, or the one that it was bringing to them. @throws FatalError */
  async #mustFit(): Promise<void> {
    const map = planMap(this.#path, this.#plan);
    const next = this.#plan.next === undefined ? undefined : planMap(this.#path, this.#plan, "next");
    const { answered, silent } = await askNodes<NodeProgress>(this.#client, map, "progress");
    if (answered.size === 0)
      throw new FatalError("failed", `no node of the plan answers: ${listed(silent.keys())}`, {
        hint: "start them first",
      });
    for (const [node, status] of answered) {
      const isNext = next !== undefined && status.fingerprint === fingerprintOf(next);
      if (isNext && status.mapVersion === next.mapVersion) continue;
      if (status.mapVersion > map.mapVersion)
        throw new FatalError(
          "failed",
          `${this.#path} was made for map version ${map.mapVersion}, and ${node} has ${status.mapVersion}`,
          { hint: "make a new plan with parley rebalance plan; nothing was changed" },
        );
      mustHaveMap(this.#path, map, node, status);
    }
  }

  /** Steps that this direction is about: undo leaves alone what was never begun. */
  #steps(): Step[] {
    const { word } = this.#direction;
    return this.#plan.steps.filter(({ state, attempts }) => word === "apply" || state !== "planned" || attempts > 0);
  }

  async #move(): Promise<void> {
    if (this.#plan.next !== undefined) return;
    const { states, word } = this.#direction;
    const { rate, atOnce, attempts, patience } = this.#options;
    const open = this.#steps().filter(({ state }) => state !== states.done);
    for (const step of open) if (step.state === "failed") step.state = states.during;
    const bar = new MovesProgress(open, states.done, word, this.#options.json ? undefined : this.#io);
    const mover = new ShardMover({
      client: this.#client,
      map: planMap(this.#path, this.#plan),
      clock: systemClock,
      options: { rate: rate * MEGABYTE, atOnce, attempts, patienceMs: patience * 1000 },
      goalOf: ({ from, to }) => (word === "apply" ? to : from),
      states,
      save: () => this.#save(),
      progress: (copied, running) => bar.set(copied, running),
    });
    try {
      await mover.run(open);
    } finally {
      bar.finish();
    }
  }

  /** The map steps. It is in the plan before any node has it, so that a crash leaves one next map and not two. */
  async #publishNext(after: Phase): Promise<Map<string, string>> {
    const map = planMap(this.#path, this.#plan);
    if (this.#plan.next === undefined) {
      const { answered } = await askNodes<NodeProgress>(this.#client, map, "progress");
      this.#plan.next = JSON.parse(writeMap(nextMap(map, ownershipsOf(map, answered.values())))) as unknown;
      await this.#save();
    }
    const next = planMap(this.#path, this.#plan, "next");
    const silent = await publish(this.#client, writeMap(next), next.nodes);
    if (silent.size === next.nodes.size)
      throw new FatalError("failed", "no node took the new map", { hint: "start them, and run this again" });
    await this.#keepMap(next);
    this.#plan.map = this.#plan.next;
    this.#plan.next = undefined;
    this.#plan.phase = after;
    await this.#save();
    return silent;
  }

  /** Replaces the operator's map, if that is the one before. */
  async #keepMap(next: PartitionMap): Promise<void> {
    const { mapFile } = this.#plan;
    try {
      const kept = readMap(await readText(mapFile, "the map"));
      if (kept.cluster === next.cluster && kept.mapVersion < next.mapVersion) await writeMapFile(mapFile, next);
    } catch (error) {
      if (!(error instanceof MapError || error instanceof FatalError)) throw error;
      this.#io.stderr(`parley: ${mapFile} is not brought up to date: ${error.message}\n`);
    }
  }

  #save(): Promise<void> {
    return writePlan(this.#path, this.#plan);
  }

  #unfinished(failed: readonly Step[]): FatalError {
    const byReason = Map.groupBy(failed, ({ why }) => why ?? "unknown");
    const reasons = [...byReason].map(([why, steps]) => `shard ${steps.map(({ shard }) => shard).join(", ")}: ${why}`);
    const rest = reasons.length > 3 ? `; and ${reasons.length - 3} more reasons` : "";
    const { word } = this.#direction;
    return new FatalError(
      "failed",
      `${failed.length} of ${counted(this.#steps().length, "shard")} could not be moved; ${reasons.slice(0, 3).join("; ")}${rest}`,
      {
        hint:
          `mend it and run parley rebalance ${word} ${this.#path} again` +
          (word === "apply" ? ", or move back with parley rebalance undo" : ""),
      },
    );
  }

  #report(ms: number, silent: ReadonlyMap<string, string>): number {
    const steps = this.#steps();
    const bytes = steps.reduce((sum, step) => sum + step.bytes, 0);
    const pauses = steps.flatMap(({ pauseMs }) => (pauseMs === undefined ? [] : [pauseMs]));
    const pauseMsMax = pauses.length === 0 ? undefined : Math.round(Math.max(...pauses) * 10) / 10;
    const { mapVersion } = planMap(this.#path, this.#plan);
    const { phase } = this.#plan;
    const shards = steps.length;
    const result = { plan: this.#path, phase, shards, bytes, seconds: Math.round(ms) / 1000, pauseMsMax, mapVersion };
    if (this.#options.json) this.#io.stdout(`${JSON.stringify({ ...result, silent: Object.fromEntries(silent) })}\n`);
    else {
      const pause = pauseMsMax === undefined ? "" : `, longest pause of a shard ${pauseMsMax} ms`;
      this.#io.stdout(
        `${this.#path}: ${phase}; ${counted(shards, "shard")}, ${formatBytes(bytes)}${pause}; map version ${mapVersion}\n`,
      );
      for (const [node, why] of silent)
        this.#io.stdout(`${node}: ${why}; it gets the map from the others once it runs\n`);
      this.#io.stdout(`next: parley rebalance verify ${this.#path} --secret-file FILE\n`);
    }
    return EXIT_STATUS.ok;
  }
}
