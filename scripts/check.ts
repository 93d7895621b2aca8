/**
 * `npm run check`, before every commit: format, types, lint, import directions, tests. Words narrow down the test
 * files.
 */
import { dirname } from "node:path";
import { run } from "./testing/run.ts";

const what = { checks: true, paths: process.argv.slice(2) };
process.exitCode = await run(dirname(import.meta.dir), what, (text) => void process.stdout.write(text));
