/** `bun scripts/map.ts …` is `parley map …`: makes, shows and changes the map of a cluster. */
import { mapCommand } from "../src/cli/cluster/map-command.ts";
import { runCommand } from "./cluster/run-command.ts";

await runCommand(mapCommand());
