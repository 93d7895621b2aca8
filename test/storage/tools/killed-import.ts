/** Imports a shard and is killed in the middle: `bun killed-import.ts DIRECTORY FILE STEPS`. */
import { importShard } from "../../../storage/tools/import-shard.ts";

const [directory = "", file = "", steps = "0"] = process.argv.slice(2);
let left = Number(steps);
await importShard(directory, file, () => {
  if (left-- === 0) process.kill(process.pid, "SIGKILL");
});
if (left >= 0) process.exit(0);
