/** `parley serve` with log files so small that it begins another one every few messages. */
import { runCommandLine } from "../../../src/cli/commands.ts";
import { processSignals } from "../../../src/cli/process-signals.ts";
import { serveCommand } from "../../../src/cli/serve.ts";
import { startNode } from "../../../src/node/node.ts";

const command = serveCommand({
  startNode: (options, held) => startNode(options, { held, walFileBytes: 8 << 10 }),
  signals: processSignals,
});
const io = {
  stdout: (text: string) => void process.stdout.write(text),
  stderr: (text: string) => void process.stderr.write(text),
  env: process.env,
};
process.exit(await runCommandLine(process.argv.slice(2), [command], { version: "0", io }));
