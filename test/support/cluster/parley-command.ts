/** Runs a command of the cluster in this process, as the command line does. */
import { runCommandLine } from "../../../src/cli/commands.ts";
import { mapCommand } from "../../../src/cli/cluster/map-command.ts";
import { rebalanceCommand } from "../../../src/cli/cluster/rebalance-command.ts";

export type Ended = { status: number; stdout: string; stderr: string };

export async function parley(...argv: string[]): Promise<Ended> {
  let stdout = "";
  let stderr = "";
  const io = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    env: {},
  };
  const status = await runCommandLine(argv, [mapCommand(), rebalanceCommand()], { version: "0", io });
  return { status, stdout, stderr };
}

/** The JSON that it prints. @throws Error if it failed */
export async function parleyJson<Result>(...argv: string[]): Promise<Result> {
  const { status, stdout, stderr } = await parley(...argv, "--json");
  if (status !== 0) throw new Error(`${argv.join(" ")}: status ${status}, ${stderr}`);
  return JSON.parse(stdout) as Result;
}
