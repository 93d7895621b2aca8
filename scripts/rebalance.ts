/** `bun scripts/rebalance.ts …` is `parley rebalance …`: moves shards between nodes while people talk. */
import { rebalanceCommand } from "../src/cli/cluster/rebalance-command.ts";
import { runCommand } from "./cluster/run-command.ts";

await runCommand(rebalanceCommand());
