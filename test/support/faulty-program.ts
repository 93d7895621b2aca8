/** `parley serve` with a faulty router (faulty-node.ts), as a process that a test kills and starts again. */
import { runCommandLine } from "../../src/cli/commands.ts";
import { processSignals } from "../../src/cli/process-signals.ts";
import { serveCommand } from "../../src/cli/serve.ts";
import { writeWhole } from "../../src/cli/write-whole.ts";
import { startNode } from "../../src/node/node.ts";
import { faultyNode } from "./faulty-node.ts";

const io = {
  stdout: (text: string) => writeWhole(process.stdout.fd, text),
  stderr: (text: string) => void process.stderr.write(text),
  env: process.env,
  program: "parley",
};

const serve = serveCommand({
  startNode: (options, held) => startNode(options, { held, ...faultyNode(options.data)?.parts }),
  signals: processSignals,
});

process.exit(await runCommandLine(process.argv.slice(2), [serve], { version: "faulty", io }));
