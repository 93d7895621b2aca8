/** `bun scripts/plan-at-scale.ts`: the planner through a simulated year, with few nodes and with up to 1,000. */
import { isHelp } from "../src/cli/command.ts";
import { FatalError } from "../src/cli/fatal-error.ts";
import { helpText } from "../src/cli/help-text.ts";
import { BALANCED_BY } from "../src/cluster/map/shard-loads.ts";
import { flag, integer, oneOf, parseOptions } from "../src/cli/options.ts";
import { table } from "../src/cli/tool-options.ts";
import { yearOfPlans, type PlanOfDay } from "./cluster/year-of-plans.ts";

const section = "Options";
const OPTIONS = {
  nodes: integer({
    section,
    summary: "nodes at the start; 0: 3, 10, 30, 100, 300 and 1000 in turn",
    initial: 0,
    min: 0,
    max: 1000,
  }),
  days: integer({ section, summary: "days", initial: 365, min: 1, max: 10_000 }),
  seed: integer({ section, summary: "the same seed gives the same year", initial: 1, min: 0, max: 2 ** 31 }),
  by: oneOf({ section, summary: "what is divided evenly", initial: "both", choices: BALANCED_BY }),
  tolerance: integer({ section, summary: "percent, as of parley rebalance plan", initial: 2, min: 0, max: 100 }),
  json: flag({ section, summary: "one line of JSON for each number of nodes" }),
};
const SIZES = [3, 10, 30, 100, 300, 1000];

const HELP: [string, string][] = Object.entries(OPTIONS).map(([key, { placeholder, summary, initial }]) => [
  `--${key}${placeholder === "" ? "" : ` ${placeholder}`}`,
  `${summary}${initial === false ? "" : ` (default ${initial})`}`,
]);

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

function summaryOf(nodes: number, plans: readonly PlanOfDay[], ms: number) {
  const sum = (of: (plan: PlanOfDay) => number): number => plans.reduce((all, plan) => all + of(plan), 0);
  return {
    nodes,
    plans: plans.length,
    joins: plans.filter(({ event }) => event === "join").length,
    leaves: plans.filter(({ event }) => event === "leave").length,
    moves: sum(({ moves }) => moves),
    movedOverLeast: sum(({ moved }) => moved) / sum(({ least }) => least),
    fullestMedian: median(plans.map(({ fullest }) => fullest)),
    fullestWorst: Math.max(...plans.map(({ fullest }) => fullest)),
    /** A heavy shard is alone on its node, and above the share all the same. */
    indivisibleWorst: Math.max(...plans.map(({ indivisible }) => indivisible)),
    msAPlan: ms / plans.length,
  };
}

function main(args: string[]): void {
  if (args.some(isHelp)) {
    const about =
      "Shards of skewed sizes grow, nodes join and leave, and the planner says each time what moves. Printed: what moved " +
      "over the least that any exact plan would move; and the fullest node's load over its share, after.";
    process.stdout.write(
      helpText(["bun scripts/plan-at-scale.ts [options]"], [about, { title: "Options", rows: HELP }]),
    );
    return;
  }
  const { nodes, json, tolerance, ...year } = parseOptions(OPTIONS, args, {});
  const results = (nodes === 0 ? SIZES : [nodes]).map((size) => {
    const startedAt = performance.now();
    const plans = yearOfPlans({ ...year, nodes: size, tolerance: tolerance / 100 });
    const result = summaryOf(size, plans, performance.now() - startedAt);
    if (json) process.stdout.write(`${JSON.stringify({ ...year, tolerance, ...result })}\n`);
    return result;
  });
  if (json) return;
  const head = [
    "nodes",
    "plans",
    "joins",
    "leaves",
    "moves",
    "moved/least",
    "fullest: median",
    "worst",
    "heaviest shard alone",
    "ms a plan",
  ];
  const rows = results.map((r) => [
    ...[r.nodes, r.plans, r.joins, r.leaves, r.moves].map(String),
    ...[r.movedOverLeast, r.fullestMedian, r.fullestWorst, r.indivisibleWorst].map((value) => value.toFixed(3)),
    r.msAPlan.toFixed(1),
  ]);
  process.stdout.write(table([head, ...rows], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
}

try {
  main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof FatalError)) throw error;
  process.stderr.write(`plan-at-scale: ${error.message}; see --help\n`);
  process.exit(error.exitStatus);
}
