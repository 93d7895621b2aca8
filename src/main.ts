/** The program `parley`. Here alone the parts meet: which commands there are, and what each is given of the outside. */
import type { Command } from "./cli/command.ts";
import { runCommandLine } from "./cli/commands.ts";
import { compactCommand } from "./cli/compact.ts";
import { eraseUserCommand } from "./cli/erase-user.ts";
import { exportShardCommand } from "./cli/export-shard.ts";
import { EXIT_STATUS } from "./cli/fatal-error.ts";
import { importShardCommand } from "./cli/import-shard.ts";
import { inspectCommand } from "./cli/inspect.ts";
import type { Io } from "./cli/io.ts";
import { keysCommand } from "./cli/keys-command.ts";
import { processSignals } from "./cli/process-signals.ts";
import { repairCommand } from "./cli/repair.ts";
import { resetPasswordCommand } from "./cli/reset-password.ts";
import { serveCommand } from "./cli/serve.ts";
import { verifyCommand } from "./cli/verify.ts";
import { writeWhole } from "./cli/write-whole.ts";
import { version } from "../package.json" with { type: "json" };

/** Where the runtime puts the files of a compiled program. */
const isCompiled = /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/.test(import.meta.path);

const io: Io = {
  stdout: (text) => writeWhole(process.stdout.fd, text),
  stderr: (text) => void process.stderr.write(text),
  env: process.env,
  columns: process.stdout.columns,
  isStderrTerminal: process.stderr.isTTY,
  program: isCompiled ? "parley" : "npm run parley --",
};

const commands: [Command, ...Command[]] = [
  serveCommand({
    // Loaded by serve alone, so that every other command starts at once.
    startNode: async (options, held) => (await import("./node/node.ts")).startNode(options, { held }),
    signals: processSignals,
  }),
  keysCommand(),
  verifyCommand(),
  repairCommand(),
  inspectCommand(),
  exportShardCommand(),
  importShardCommand(),
  compactCommand(),
  eraseUserCommand(),
  resetPasswordCommand(),
];

try {
  process.exit(await runCommandLine(process.argv.slice(2), commands, { version, io }));
} catch (error) {
  // A mistake in the program: its stack is what helps. Workers may still run, so it is not left to the engine to end the process.
  console.error(error);
  process.exit(EXIT_STATUS.failed);
}
