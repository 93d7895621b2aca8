/** The machine and commit of a measurement, a part of every result. */
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

export type Machine = { cpu: string; cores: number; memoryGb: number; kernel: string; bun: string };

export function describeMachine(): Machine {
  const cores = cpus();
  return {
    cpu: cores[0]?.model.trim() ?? "unknown",
    cores: cores.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    bun: Bun.version,
  };
}

/**
 * The commit of a checkout, this one by default, with `-dirty` when files differ from it; "unknown" outside a checkout.
 */
export function describeCommit(root = join(import.meta.dir, "../..")): string {
  const git = (...words: string[]) => {
    const run = Bun.spawnSync(["git", ...words], { cwd: root, stderr: "ignore" });
    return run.success ? run.stdout.toString().trim() : undefined;
  };
  const commit = git("rev-parse", "--short=12", "HEAD");
  if (commit === undefined) return "unknown";
  return git("status", "--porcelain", "--untracked-files=no") === "" ? commit : `${commit}-dirty`;
}
