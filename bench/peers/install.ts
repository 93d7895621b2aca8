/** Installs what peers need from Debian's packages, only when a person asked for it. */
import type { Missing, Peer } from "./peer.ts";

const INSTALL_MS_MAX = 10 * 60_000;

/** Debian starts a service for some packages. The bench does not use it, and starts its own processes. */
export const commandFor = (packages: readonly string[]): string => `apt-get install ${packages.join(" ")}`;

/** The command that would install them, or undefined where none would. */
export const remedyFor = ({ packages }: Missing): string | undefined =>
  packages === undefined ? undefined : commandFor(packages);

export async function installMissing(peers: readonly Peer[], interrupted: Promise<never>): Promise<void> {
  const missing = await Promise.all(peers.map((peer) => peer.missing()));
  const packages = [...new Set(missing.flatMap((one) => one?.packages ?? []))];
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error(`--install: only root may; run ${commandFor(packages)} as root`);
  const child = Bun.spawn(["apt-get", "install", "--yes", ...packages], {
    ...{ stdin: "ignore", stdout: Bun.stderr, stderr: "inherit", timeout: INSTALL_MS_MAX },
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  const status = await Promise.race([child.exited, interrupted]).finally(() => child.kill());
  if (status !== 0)
    throw new Error(`--install: ${commandFor(packages)} ended with status ${status}; try apt-get update first`);
}
