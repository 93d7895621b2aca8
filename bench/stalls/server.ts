/** A node in a process of its own, with a probe in its event loop. The parent asks over IPC: `begin`, `end`. */
import { parseOptions } from "../../src/cli/options.ts";
import { SERVE_OPTIONS } from "../../src/cli/serve-options.ts";
import { startNode } from "../../src/node/node.ts";
import { LoopProbe } from "./loop-probe.ts";

const node = await startNode(parseOptions(SERVE_OPTIONS, process.argv.slice(2), {}));
const probe = new LoopProbe();

process.on("message", (asked: string) => {
  if (asked === "begin") {
    probe.begin();
    process.send!("begun");
  } else process.send!(probe.end());
});
process.on("SIGTERM", () => void node.drain().then(() => process.exit(0)));
process.send!({ url: node.url });
