/**
 * Makes node_modules match package-lock.json, and finds the pinned Bun in it.
 *
 * Packages are installed into a separate folder that replaces node_modules by two renames, so a killed install leaves
 * the old packages. A stamp (the lockfile's hash and Bun's path) reduces every later start to one comparison.
 * node_modules that were installed by hand (`npm ci`, `bun install`) are accepted if their versions are those of the
 * lockfile.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { join, relative } from "node:path";
import { InstallError } from "./install-error.mjs";
import { replacePlaceholders } from "./placeholders.mjs";
import { withInstallLock } from "./install-lock.mjs";
import { runInstaller } from "./installer.mjs";

const STAMP = "node_modules/.parley-install.json";
const STAGING_PREFIX = ".install-packages-";
const INSTALL_INPUTS = ["package.json", "package-lock.json", ".npmrc", "bunfig.toml"];

/** Returns the path of the Bun to run. `stop` aborts a running install. */
export async function ensureInstalled({ root, say, stop }) {
  const lockfile = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lockfile).digest("hex");
  const ready = () => fromStamp(root, wanted) ?? fromFolder(root, wanted, JSON.parse(lockfile));
  const found = ready();
  if (found !== undefined) return found;
  return await withInstallLock(root, say, stop, async () => {
    const meanwhile = ready();
    if (meanwhile !== undefined) return meanwhile;
    await install(root, say, stop);
    const bun = ready();
    if (bun !== undefined) return bun;
    const platform = `${process.platform}-${process.arch}`;
    throw new InstallError(
      `no Bun for ${platform} came with the packages; it is an optional one: does the registry have it?`,
    );
  });
}

function fromStamp(root, wanted) {
  const stamp = readJson(join(root, STAMP));
  if (stamp?.lockfile !== wanted) return undefined;
  const bun = join(root, stamp.bun);
  return existsSync(bun) ? bun : undefined;
}

function fromFolder(root, wanted, lockfile) {
  if (!matchesLockfile(root, lockfile)) return undefined;
  const bun = findBun(root, lockfile.packages["node_modules/bun"].version);
  if (bun === undefined) return undefined;
  try {
    replacePlaceholders(root, bun);
    writeFileSync(join(root, STAMP), `${JSON.stringify({ lockfile: wanted, bun: relative(root, bun) })}\n`);
  } catch {
    // A read-only clone works, too; it compares at every start.
  }
  return bun;
}

/**
 * npm writes its own record last, so the record proves a finished install. Bun writes none, so each package is checked.
 */
function matchesLockfile(root, lockfile) {
  const record = readJson(join(root, "node_modules/.package-lock.json"));
  return Object.entries(lockfile.packages).every(([path, wanted]) => {
    if (path === "") return true;
    const installed = record === undefined ? readJson(join(root, path, "package.json")) : record.packages[path];
    return installed === undefined ? wanted.optional === true : installed.version === wanted.version;
  });
}

/** Install scripts move the binary to node_modules/bun; without them it stays in the platform's package. */
function findBun(root, version) {
  const folder = join(root, "node_modules/@oven");
  const platforms = existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith("bun-")) : [];
  const candidates = platforms.flatMap((name) => [join(folder, name, "bin/bun"), join(folder, name, "bin/bun.exe")]);
  candidates.push(join(root, "node_modules/bun/bin/bun.exe"));
  const isPinned = (file) => spawnSync(file, ["--version"], { encoding: "utf8" }).stdout?.trim() === version;
  return candidates.find((file) => existsSync(file) && isPinned(file));
}

async function install(root, say, stop) {
  const startedAt = performance.now();
  removeLeftovers(root);
  const staging = join(root, `${STAGING_PREFIX}${process.pid}`);
  mkdirSync(staging);
  try {
    for (const name of INSTALL_INPUTS) {
      if (existsSync(join(root, name))) copyFileSync(join(root, name), join(staging, name));
    }
    say("installing packages (once; the next start is quick) …");
    await runInstaller(staging, stop);
    takePlace(join(root, "node_modules"), join(staging, "node_modules"), join(staging, "replaced"));
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
  say(`installed in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Removes folders of killed installs. This process holds the lock, so no other process uses them. */
function removeLeftovers(root) {
  const leftovers = readdirSync(root).filter((name) => name.startsWith(STAGING_PREFIX));
  for (const name of leftovers) rmSync(join(root, name), { recursive: true, force: true });
}

function takePlace(place, successor, aside) {
  try {
    if (existsSync(place)) renameSync(place, aside);
    renameSync(successor, place);
  } catch (error) {
    throw new InstallError(
      `cannot replace ${place} (${error.code}); run "npm ci --ignore-scripts" in the clone instead`,
    );
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}
