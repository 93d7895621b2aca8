/** Takes a data directory as older versions do: by its file LOCK alone. Keeps it until it is killed. */
import { constants, openSync } from "node:fs";
import { join } from "node:path";
import { systemFlock } from "../../../src/cli/directory-lock.ts";

const lock = openSync(join(process.argv[2] ?? "", "LOCK"), constants.O_RDWR | constants.O_CREAT, 0o600);
const outcome = systemFlock(lock, "exclusive");
console.log(outcome === "locked" ? "taken" : "refused");
if (outcome !== "locked") process.exit(1);
setInterval(() => {}, 60_000);
