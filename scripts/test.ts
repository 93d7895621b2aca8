/**
 * `npm test`: every test file; `npm test -- PATH …`: those whose path contains one of the words. `--checks` runs the
 * checks first. The last line on stdout is `N passed, N failed`.
 */
import { dirname } from "node:path";
import { run } from "./testing/run.ts";

const args = process.argv.slice(2);
const unknown = args.find((arg) => arg.startsWith("-") && arg !== "--checks");
if (unknown !== undefined) {
  console.error(`test: unknown option ${unknown}: expected --checks or parts of paths`);
  process.exit(2);
}
const what = { checks: args.includes("--checks"), paths: args.filter((arg) => arg !== "--checks") };
process.exitCode = await run(dirname(import.meta.dir), what, (text) => void process.stdout.write(text));
