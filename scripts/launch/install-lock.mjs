import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { InstallError } from "./install-error.mjs";

const RETRY_MS = 200;

/**
 * Runs `work` while no other launch in this clone does. The lock is a file with its owner's pid, linked into place as a
 * whole. A lock whose owner is dead is removed. If two launches do that at once, both may go on: then both install,
 * each in its own folder, and the second finds the work done.
 */
export async function withInstallLock(root, say, stop, work) {
  const lock = join(root, ".install-lock");
  let isTold = false;
  while (!acquire(lock)) {
    const owner = ownerOf(lock);
    if (owner !== undefined && !isAlive(owner)) removeStale(lock, owner);
    else if (!isTold && owner !== undefined) {
      say(`process ${owner} is installing packages; waiting for it …`);
      isTold = true;
    }
    await sleep(RETRY_MS);
    if (stop.aborted) throw new InstallError("stopped while waiting for another install");
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { force: true });
  }
}

function acquire(lock) {
  const mine = `${lock}-${process.pid}`;
  writeFileSync(mine, `${process.pid}\n`);
  try {
    linkSync(mine, lock);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    rmSync(mine, { force: true });
  }
}

function ownerOf(lock) {
  try {
    return Number(readFileSync(lock, "utf8"));
  } catch {
    return undefined;
  }
}

/** Only one rename succeeds. It may have moved a newer lock than the one examined; then that one is put back. */
function removeStale(lock, owner) {
  const taken = `${lock}-stale-${process.pid}`;
  try {
    renameSync(lock, taken);
    if (ownerOf(taken) !== owner) linkSync(taken, lock);
  } catch (error) {
    if (error.code !== "ENOENT" && error.code !== "EEXIST") throw error;
  } finally {
    rmSync(taken, { force: true });
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}
