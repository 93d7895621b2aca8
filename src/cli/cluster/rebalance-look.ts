/** `parley rebalance status` and `verify`: how far a plan is, and whether each shard is served where it should be. */
import { type NodeId } from "../../cluster/map/partition-map.ts";
import { writeRanges } from "../../cluster/map/shard-ranges.ts";
import type { NodeProgress } from "../../node/cluster/admin.ts";
import { ALL_SHARDS, SHARD_COUNT, type ShardId } from "../../../storage/types.ts";
import type { SubCommand } from "../command-group.ts";
import { EXIT_STATUS, FatalError } from "../fatal-error.ts";
import { parseOptions, splitWords } from "../options.ts";
import { counted, formatBytes, oneWord, table } from "../tool-options.ts";
import { adminClient, JSON_OBJECT, SECRET_FILE } from "./cluster-options.ts";
import { askNodes, listed, servedBy } from "./cluster-view.ts";
import { planMap, readPlan, STEP_STATES, type PlanFile, type Step } from "./plan-file.ts";

const STATUS = { json: JSON_OBJECT };
const VERIFY = { secretFile: SECRET_FILE, json: JSON_OBJECT };

export const rebalanceStatus: SubCommand = {
  name: "status",
  usage: "rebalance status PLAN [--json]",
  summary: "show how far a plan is",
  note: "It reads the plan only. parley map show --url URL shows what moves at this moment.",
  options: STATUS,
  run: async (args, io) => {
    const { words, options: flags } = splitWords(STATUS, args);
    const { json } = parseOptions(STATUS, flags, io.env);
    const path = oneWord(words, "plan");
    const plan = await readPlan(path);
    const counts = STEP_STATES.flatMap((state) => {
      const steps = plan.steps.filter((step) => step.state === state);
      return steps.length === 0 ? [] : [{ state, shards: steps.length, bytes: sum(steps) }];
    });
    const failed = plan.steps.filter(({ state }) => state === "failed").map(({ shard, why }) => ({ shard, why }));
    if (json)
      io.stdout(`${JSON.stringify({ plan: path, phase: plan.phase, mapVersion: plan.mapVersion, counts, failed })}\n`);
    else {
      io.stdout(`${path}: ${plan.phase}; made for map version ${plan.mapVersion}\n`);
      io.stdout(
        table(
          counts.map(({ state, shards, bytes }) => [state, counted(shards, "shard"), formatBytes(bytes)]),
          [1, 2],
          "  ",
        ),
      );
      for (const { shard, why } of failed) io.stdout(`  shard ${shard}: ${why}\n`);
      io.stdout(`next: ${NEXT[plan.phase]}\n`);
    }
    return EXIT_STATUS.ok;
  },
};

const NEXT: Record<PlanFile["phase"], string> = {
  planned: "parley rebalance apply",
  applying: "parley rebalance apply goes on, parley rebalance undo moves back",
  applied: "parley rebalance verify; parley rebalance undo moves back",
  undoing: "parley rebalance undo goes on",
  undone: "parley rebalance verify; this plan is finished",
};

const sum = (steps: readonly Step[]): number => steps.reduce((all, { bytes }) => all + bytes, 0);

type Problem = { shard: ShardId; expected: NodeId | undefined; servedBy: NodeId[] };

export const rebalanceVerify: SubCommand = {
  name: "verify",
  usage: "rebalance verify PLAN --secret-file FILE [--json]",
  summary: "check that each shard of a plan is served where it should be, and by nobody else",
  note: "All nodes must answer. Exit status 1 if a shard is served by none, by two, or at the wrong node.",
  options: VERIFY,
  run: async (args, io) => {
    const { words, options: flags } = splitWords(VERIFY, args);
    const options = parseOptions(VERIFY, flags, io.env);
    const path = oneWord(words, "plan");
    const plan = await readPlan(path);
    const map = planMap(path, plan);
    const { answered, silent } = await askNodes<NodeProgress>(await adminClient(options.secretFile), map, "progress");
    if (silent.size > 0)
      throw new FatalError("failed", `${listed(silent.keys())}: ${[...silent.values()][0]}`, {
        hint: "verify asks all nodes of the map: start them, and run it again",
      });
    const servers = ALL_SHARDS.map((): NodeId[] => []);
    for (const [node, status] of answered) for (const shard of servedBy(node, map, status)) servers[shard]!.push(node);
    const { problems, result } = judged(plan, servers);
    if (options.json) io.stdout(`${JSON.stringify({ plan: path, phase: plan.phase, ...result, problems })}\n`);
    else {
      for (const { shard, expected, servedBy: by } of problems)
        io.stdout(
          `shard ${shard}: served by ${by.length === 0 ? "no node" : listed(by)}${expected === undefined ? "" : `, should be ${expected}`}\n`,
        );
      io.stdout(
        `${path}: ${plan.phase}; ${result.rightly} of ${counted(result.shards, "shard")} of the plan served where they should be, ` +
          `by one node each; of all ${SHARD_COUNT}: ${result.servedOnce} served once, ${result.servedNowhere} by none, ` +
          `${result.servedTwice} by more than one\n`,
      );
      if (problems.length > 0)
        io.stdout(
          `next: see the logs of the nodes for shards ${writeRanges(problems.map(({ shard }) => shard))}; ${NEXT[plan.phase]}\n`,
        );
    }
    return problems.length === 0 ? EXIT_STATUS.ok : EXIT_STATUS.failed;
  },
};

/** Where a step's shard should be, by its state. Undefined while it is on its way. */
function placeOf({ state, from, to }: Step): NodeId | undefined {
  if (state === "moved") return to;
  return state === "planned" || state === "returned" ? from : undefined;
}

function judged({ steps }: PlanFile, servers: readonly NodeId[][]) {
  const places = new Map(steps.map((step) => [step.shard, placeOf(step)]));
  const problems = ALL_SHARDS.flatMap((shard): Problem[] => {
    const [by, expected] = [servers[shard]!, places.get(shard)];
    const isRight = by.length === 1 && (expected === undefined || by[0] === expected);
    return isRight ? [] : [{ shard, expected, servedBy: by }];
  });
  const wrong = new Set(problems.map(({ shard }) => shard));
  const count = (wanted: (by: readonly NodeId[]) => boolean): number => servers.filter(wanted).length;
  const result = {
    shards: steps.length,
    rightly: steps.filter(({ shard }) => !wrong.has(shard)).length,
    servedOnce: count((by) => by.length === 1),
    servedNowhere: count((by) => by.length === 0),
    servedTwice: count((by) => by.length > 1),
  };
  return { problems, result };
}
