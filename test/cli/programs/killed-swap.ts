/** Puts a copy in the place of a directory, and kills itself with -9 behind the Nth change of a name. `two` renames instead of exchanging. */
import { swapInPlace, systemNames, type Names } from "../../../src/cli/repair-swap.ts";

const [source, copy, killAfter, how] = process.argv.slice(2) as [string, string, string, string];
let left = Number(killAfter);

function counted<A extends unknown[], R>(change: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    const result = change(...args);
    if (--left === 0) process.kill(process.pid, "SIGKILL");
    return result;
  };
}

const names: Names = {
  write: counted(systemNames.write),
  rename: counted(systemNames.rename),
  exchange: how === "two" ? () => false : counted(systemNames.exchange),
  remove: counted(systemNames.remove),
};
swapInPlace(source, copy, `${source}.repair-report.txt`, names);
