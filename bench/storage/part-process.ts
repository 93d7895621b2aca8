/** A process that runs one part: `bun part-process.ts NAME JSON DIRECTORY`, lines of JSON on stdout. */
import { writeSync } from "node:fs";
import type { PartLine } from "./part.ts";
import { partNamed } from "./parts.ts";

const PROGRESS_MS = 100;

const [name = "", parameters = "null", directory = ""] = process.argv.slice(2);
/** Writes at once: a stream would wait until the part pauses. */
const say = (line: PartLine): number => writeSync(1, `${JSON.stringify(line)}\n`);
let saidAt = Number.NEGATIVE_INFINITY;
const figures = await partNamed(name)(JSON.parse(parameters), {
  directory,
  progress(done, total) {
    if (performance.now() - saidAt < PROGRESS_MS) return;
    saidAt = performance.now();
    say({ progress: [done, total] });
  },
});
process.stdout.write(`${JSON.stringify({ figures } satisfies PartLine)}\n`, () => process.exit(0));
