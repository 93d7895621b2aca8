/** Runs one command of `parley` as a script of its own. */
import type { Command } from "../../src/cli/command.ts";
import { runCommandLine } from "../../src/cli/commands.ts";
import { writeWhole } from "../../src/cli/write-whole.ts";
import { version } from "../../package.json" with { type: "json" };

export async function runCommand(command: Command): Promise<never> {
  const io = {
    stdout: (text: string) => writeWhole(process.stdout.fd, text),
    stderr: (text: string) => void process.stderr.write(text),
    env: process.env,
    columns: process.stdout.columns,
    isStderrTerminal: process.stderr.isTTY,
    program: "npm run parley --",
  };
  process.exit(await runCommandLine([command.name, ...process.argv.slice(2)], [command], { version, io }));
}
