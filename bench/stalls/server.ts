/**
 * A node in its own process, with a probe in its event loop that is controlled over IPC. Its arguments are those of
 * `parley serve`.
 */
import { parseOptions } from "../../src/cli/options.ts";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";
import { startNode } from "../../src/node/node.ts";
import { LoopProbe } from "./loop-probe.ts";
import { answerWith, type Asked } from "./probe-messages.ts";

const node = await startNode(parseOptions(SERVE_OPTIONS, process.argv.slice(2), {}));
const probe = new LoopProbe();

process.on("message", (asked: Asked) => void process.send!(answerWith(probe, asked)));
// Its parent has ended.
process.on("disconnect", () => process.exit(1));
process.send!({ url: node.url });
