/** `parley rebalance`: moves shards between the nodes of a cluster, while people talk. */
import type { Command } from "../command.ts";
import { commandGroup } from "../command-group.ts";
import { rebalanceStatus, rebalanceVerify } from "./rebalance-look.ts";
import { rebalancePlan } from "./rebalance-plan.ts";
import { rebalanceApply, rebalanceUndo } from "./rebalance-run.ts";

export const rebalanceCommand = (): Command =>
  commandGroup({
    name: "rebalance",
    summary: "move shards between the nodes of a cluster while people talk",
    note: "plan changes nothing; apply goes on after a crash; docs/cluster.md is a guide.",
    commands: [rebalancePlan, rebalanceApply, rebalanceStatus, rebalanceVerify, rebalanceUndo],
  });
