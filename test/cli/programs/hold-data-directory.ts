/** Takes the data directory given as its argument and keeps it until it is killed. */
import { lockDataDirectory } from "../../../src/cli/data-directory.ts";
import { FatalError } from "../../../src/cli/fatal-error.ts";

try {
  lockDataDirectory(process.argv[2] ?? "");
  console.log("taken");
  setInterval(() => {}, 60_000);
} catch (error) {
  if (!(error instanceof FatalError)) throw error;
  console.log(error.message);
  process.exit(error.exitStatus);
}
