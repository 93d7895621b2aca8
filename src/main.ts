/** The program `parley`. Only this file knows all commands and gives each its access to the outside. */
import { mapCommand } from "./cli/cluster/map-command.ts";
import { rebalanceCommand } from "./cli/cluster/rebalance-command.ts";
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

/** Matches the paths that the runtime gives to the files of a compiled program. */
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
    // Only `serve` loads it, so that all other commands start at once.
    startNode: async (options, held) => (await import("./node/node.ts")).startNode(options, { held }),
    signals: processSignals,
    process: {
      command: isCompiled ? [process.execPath] : [process.execPath, import.meta.path],
      inputEnds: async () => {
        for await (const _ of Bun.stdin.stream());
      },
    },
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
  mapCommand(),
  rebalanceCommand(),
];

try {
  process.exit(await runCommandLine(process.argv.slice(2), commands, { version, io }));
} catch (error) {
  // A bug in the program: print its stack. Workers may still run, so the process is ended explicitly.
  console.error(error);
  process.exit(EXIT_STATUS.failed);
}
