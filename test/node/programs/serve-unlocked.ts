/** `parley serve` that asks nobody whether it may have the data directory, with small log files. */
import { parseOptions } from "../../../src/cli/options.ts";
import { SERVE_OPTIONS } from "../../../src/cli/serve-options.ts";
import { startNode } from "../../../src/node/node.ts";

const [, ...args] = process.argv.slice(2);
const node = await startNode(parseOptions(SERVE_OPTIONS, args, process.env), { walFileBytes: 64 << 10 });
process.on("SIGTERM", () => void node.drain());
console.log(`parley listening on ${node.url}`);
await node.closed;
process.exit(0);
