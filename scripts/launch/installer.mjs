import { basename } from "node:path";
import { runChild, statusOfSignal } from "./child.mjs";
import { InstallError } from "./install-error.mjs";

const ERROR_LINES_MAX = 15;
const NPM_CI = [
  "ci",
  "--ignore-scripts",
  "--no-audit",
  "--no-fund",
  "--include=dev",
  "--include=optional",
  "--loglevel=error",
];
const BUN_INSTALL = ["install", "--frozen-lockfile", "--ignore-scripts", "--no-progress"];

/**
 * Installs the packages of the lockfile in `folder`, with the package manager that runs this script, or npm. No
 * package's install script runs.
 */
export async function runInstaller(folder, stop) {
  const { file, args, shown } = installer();
  const shell = file === "npm" && process.platform === "win32";
  const { status, sent, output } = await runChild(file, args, { stop, stdio: "pipe", cwd: folder, shell }).catch(
    (error) => {
      throw new InstallError(`cannot run ${shown}: ${error.message}`);
    },
  );
  if (sent !== undefined) throw new InstallError(`stopped by ${sent} while installing`, statusOfSignal(sent));
  if (status !== 0) throw new InstallError(`installing failed (${shown}):\n${lastLines(output)}`);
}

/** `shown` is the command as a person types it. */
function installer() {
  const bun = (file) => ({ file, args: BUN_INSTALL, shown: `bun ${BUN_INSTALL.join(" ")}` });
  const npm = (file, before) => ({ file, args: [...before, ...NPM_CI], shown: `npm ${NPM_CI.join(" ")}` });
  if (process.versions.bun !== undefined) return bun(process.execPath);
  const running = process.env.npm_execpath ?? "";
  if (basename(running) === "npm-cli.js") return npm(process.execPath, [running]);
  if (/^bun(\.exe)?$/.test(basename(running))) return bun(running);
  return npm("npm", []);
}

const lastLines = (text) => text.trimEnd().split("\n").slice(-ERROR_LINES_MAX).join("\n");
