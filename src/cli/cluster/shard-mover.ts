/**
 * Brings shards to where they should be, several at once. It looks where each shard is and does what is missing, so it
 * does not matter what was done before it was started, or by whom. What makes a move safe is in the logs of the shards
 * (src/node/cluster); this is the script that asks for it.
 *
 * A move that fails is begun again, a bounded number of times, after a wait that grows. A node that does not answer is
 * waited for, for a bounded time.
 */
import { AdminError, type AdminClient } from "../../cluster/admin-client.ts";
import type { NodeId, PartitionMap } from "../../cluster/map/partition-map.ts";
import type { OwnedBy } from "../../cluster/map/maps.ts";
import type { MoveReport } from "../../cluster/moves/moves.ts";
import type { Clock } from "../../base/clock.ts";
import type { NodeProgress } from "../../node/cluster/admin.ts";
import { FatalError } from "../fatal-error.ts";
import { askNodes, ownershipsOf } from "./cluster-view.ts";
import type { Step, StepState } from "./plan-file.ts";

export type MoverOptions = {
  /** Bytes a second of all moves together. */
  readonly rate: number;
  readonly atOnce: number;
  readonly attempts: number;
  /** How long a node that does not answer is waited for, and a move that makes no progress. */
  readonly patienceMs: number;
};

export type MoverParts = {
  readonly client: AdminClient;
  readonly map: PartitionMap;
  readonly clock: Clock;
  readonly options: MoverOptions;
  /** Where the shard of a step shall be. */
  readonly goalOf: (step: Step) => NodeId;
  /** State of a step while it is moved, and after. */
  readonly states: { readonly during: StepState; readonly done: StepState };
  /** Makes the steps durable. */
  readonly save: () => Promise<void>;
  /** Bytes copied of the moves that run, and how many run. */
  readonly progress: (copied: number, running: number) => void;
};

const LOOK_MS = 150;
const AGAIN_MS = 500;
const AGAIN_MS_MAX = 10_000;

/** What this run knows of a step. */
type Run = {
  readonly step: Step;
  attempts: number;
  notBeforeMs: number;
  isAsked: boolean;
  sinceMs: number;
  seen: string;
};

/** What is to be done about a step. */
type Decision =
  | { do: "done"; pauseMs?: number | undefined }
  | { do: "watch"; seen: string; copied: number }
  /** The shard cannot be moved now. */
  | { do: "wait"; why: string }
  | { do: "again"; why: string }
  | { do: "move"; to: NodeId; from: NodeId }
  | { do: "give up"; why: string };

type Seen = { answered: ReadonlyMap<NodeId, NodeProgress>; silent: ReadonlyMap<NodeId, string>; owned: OwnedBy[] };

export class ShardMover {
  readonly #parts: MoverParts;

  constructor(parts: MoverParts) {
    this.#parts = parts;
  }

  /** Resolves when every step is done or failed. */
  async run(steps: readonly Step[]): Promise<void> {
    const sinceMs = this.#now();
    let open = steps.map((step): Run => ({ step, attempts: 0, notBeforeMs: 0, isAsked: false, sinceMs, seen: "" }));
    while (open.length > 0) {
      const seen = await this.#look(open);
      const startable: { run: Run; to: NodeId; from: NodeId }[] = [];
      const states = open.map(({ step }) => step.state);
      let running = 0;
      let copied = 0;
      for (const run of open) {
        const decision = this.#decide(run, seen);
        this.#note(run, decision);
        if (decision.do === "move") startable.push({ run, to: decision.to, from: decision.from });
        if (decision.do === "watch") {
          running++;
          copied += decision.copied;
        }
      }
      await this.#begin(startable.slice(0, Math.max(0, this.#parts.options.atOnce - running)), states, open);
      open = open.filter(({ step }) => step.state !== this.#parts.states.done && step.state !== "failed");
      this.#parts.progress(copied, running);
      if (open.length > 0) await this.#pause(LOOK_MS);
    }
  }

  #now(): number {
    return this.#parts.clock.monotonicMs();
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#parts.clock.after(ms, resolve);
    await promise;
  }

  async #look(open: readonly Run[]): Promise<Seen> {
    const { client, map } = this.#parts;
    const nodes = new Set(open.flatMap(({ step }) => [step.from, step.to]));
    const { answered, silent } = await askNodes<NodeProgress>(client, map, "progress", nodes);
    for (const [node, { mapVersion }] of answered)
      if (mapVersion > map.mapVersion)
        throw new FatalError(
          "failed",
          `${node} has map version ${mapVersion} now, and the plan is for ${map.mapVersion}`,
          {
            hint: "somebody else changed the map; see parley rebalance status, and make a new plan for the rest",
          },
        );
    return { answered, silent, owned: ownershipsOf(map, answered.values()) };
  }

  #decide(run: Run, { answered, silent, owned }: Seen): Decision {
    const { step } = run;
    const goal = this.#parts.goalOf(step);
    const other = goal === step.to ? step.from : step.to;
    const owner = owned[step.shard]!.node;
    const [there, here] = [answered.get(goal), answered.get(other)];
    if (owner !== goal && owner !== other)
      return { do: "give up", why: `${owner} owns it, which the plan does not know` };
    const watched = watch(step, there) ?? watch(step, here);
    if (watched !== undefined) return watched;
    if (there === undefined) return { do: "wait", why: silent.get(goal)! };
    const isServed = !there.unserved.includes(step.shard);
    if (owner === goal && isServed) return { do: "done", pauseMs: reportOf(step, there)?.pauseMs };
    if (here === undefined) return { do: "wait", why: silent.get(other)! };
    // The owner has ended its ownership for the other one, and a crash came before that began: only it can go on.
    const to = owner === goal ? other : goal;
    if (run.isAsked) {
      const report = reportOf(step, answered.get(to));
      return { do: "again", why: report?.why ?? `${to} knows nothing of the move any more` };
    }
    if (this.#now() < run.notBeforeMs) return { do: "wait", why: step.why ?? "it is begun again soon" };
    return { do: "move", to, from: owner };
  }

  #note(run: Run, decision: Decision): void {
    const { step } = run;
    const { states, options } = this.#parts;
    switch (decision.do) {
      case "done":
        step.state = states.done;
        step.pauseMs = decision.pauseMs ?? step.pauseMs;
        step.why = undefined;
        return;
      case "watch":
        run.isAsked = true;
        if (decision.seen === run.seen) return this.#impatient(run, `it stands at ${decision.seen}`);
        run.seen = decision.seen;
        run.sinceMs = this.#now();
        return;
      case "wait":
        run.isAsked = false;
        return this.#impatient(run, decision.why);
      case "again":
        run.isAsked = false;
        step.why = decision.why;
        if (run.attempts >= options.attempts) return giveUp(step, `${decision.why} (tried ${run.attempts} times)`);
        run.notBeforeMs = this.#now() + Math.min(AGAIN_MS_MAX, AGAIN_MS * 2 ** run.attempts);
        run.sinceMs = run.notBeforeMs;
        return;
      case "give up":
        return giveUp(step, decision.why);
      case "move":
        run.sinceMs = this.#now();
    }
  }

  #impatient(run: Run, why: string): void {
    const waitedMs = this.#now() - run.sinceMs;
    if (waitedMs > this.#parts.options.patienceMs) giveUp(run.step, `${why}, for ${Math.round(waitedMs / 1000)} s`);
  }

  /** Writes down what is begun before it is begun, and what has ended since the last look with it. */
  async #begin(
    startable: readonly { run: Run; to: NodeId; from: NodeId }[],
    before: readonly StepState[],
    open: readonly Run[],
  ): Promise<void> {
    for (const { run } of startable) {
      run.step.state = this.#parts.states.during;
      run.step.attempts++;
      run.attempts++;
      run.isAsked = true;
      run.seen = "";
    }
    if (startable.length > 0 || open.some(({ step }, at) => step.state !== before[at])) await this.#parts.save();
    const rate = Math.max(1, Math.floor(this.#parts.options.rate / this.#parts.options.atOnce));
    await Promise.all(startable.map((each) => this.#ask(each, rate)));
  }

  async #ask({ run, to, from }: { run: Run; to: NodeId; from: NodeId }, rate: number): Promise<void> {
    const { client, map } = this.#parts;
    try {
      await client.call(map.nodes.get(to)!.url, "POST", "moves", { shard: run.step.shard, from, rate });
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      this.#note(run, { do: "again", why: error.message });
    }
  }
}

function giveUp(step: Step, why: string): void {
  step.state = "failed";
  step.why = why;
}

const reportOf = (step: Step, node: NodeProgress | undefined): MoveReport | undefined =>
  node?.moves.find(({ shard }) => shard === step.shard);

/** Undefined if the node is not getting the shard. */
function watch(step: Step, node: NodeProgress | undefined): Decision | undefined {
  const report = reportOf(step, node);
  if (report === undefined || report.state === "done" || report.state === "failed") return undefined;
  const { state, copied, size } = report;
  return {
    do: "watch",
    seen: `${state}, ${copied} of ${size} bytes`,
    copied: size > 0 ? (step.bytes * copied) / size : 0,
  };
}
