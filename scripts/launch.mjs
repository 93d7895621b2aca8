#!/usr/bin/env node
/**
 * What `npm start`, `npm test` and `npm run …` call: installs what is missing, then runs Parley on the pinned Bun.
 *
 *     node scripts/launch.mjs COMMAND …             src/main.ts
 *     node scripts/launch.mjs --script FILE …       another program of this repository
 *
 * Runs on Node 20 with nothing installed, so it has no dependencies; Bun runs it too where there is no Node.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runChild } from "./launch/child.mjs";
import { InstallError } from "./launch/install-error.mjs";
import { ensureInstalled } from "./launch/install.mjs";
import { whenParentIsGone } from "./launch/parent.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

async function launch(argv) {
  const [file, ...args] = argv[0] === "--script" ? argv.slice(1) : ["src/main.ts", ...argv];
  if (file === undefined) throw new InstallError("--script needs a file", 2);
  const say = (line) => process.stderr.write(`parley: ${line}\n`);
  const stopping = new AbortController();
  // npm forwards SIGTERM, but if npm itself is killed with -9, nothing would stop the server, which would keep the
  // port.
  if (process.env.npm_lifecycle_event !== undefined) whenParentIsGone(() => stopping.abort());
  const stop = stopping.signal;
  const bun = await ensureInstalled({ root, say, stop });
  const { status } = await runChild(bun, ["--no-orphans", "--no-install", join(root, file), ...args], { stop });
  return status;
}

try {
  process.exitCode = await launch(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof InstallError)) throw error;
  process.stderr.write(`parley: ${error.message}\n`);
  process.exitCode = error.exitStatus;
}
