/** What stands where a file or a directory of the store should be, and is none. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CorruptionError } from "../../../storage/errors.ts";
import { openLogStore } from "../../../storage/open-store.ts";
import { DamagedDirectory } from "../../../storage/log/damaged-directory.ts";
import type { Finding } from "../../../storage/tools/report.ts";
import { verifyDirectory } from "../../../storage/tools/verify.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { realFileSystem } from "../../../storage/vfs/file-system.ts";
import { QUIET } from "../log-fixture.ts";
import { within } from "../../support/wait.ts";

const DATA = join(import.meta.dir, "../format/v1/data");
const VERIFY = join(import.meta.dir, "../../../storage/tools/verify.ts");
const COMPANIONS = { constant: [], changing: [] };
const HANGS_AFTER_MS = 8_000;

let directory: string;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "odd-files-"));
  fs.cpSync(DATA, directory, { recursive: true });
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

/** In a process of its own, which can be ended when it waits for a pipe. */
async function verified(): Promise<Finding[]> {
  const program = `const { verifyDirectory } = await import(${JSON.stringify(VERIFY)});
    const { findings } = await verifyDirectory(process.argv[1], { companions: ${JSON.stringify(COMPANIONS)} });
    console.log(JSON.stringify(findings));`;
  const child = Bun.spawn([process.execPath, "-e", program, directory], { stdout: "pipe", stderr: "pipe" });
  try {
    const [told, errors] = await within(
      "the end of verify",
      Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]),
      HANGS_AFTER_MS,
    );
    expect(errors).toBe("");
    return JSON.parse(told) as Finding[];
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

describe("verify does not wait for a pipe, and names it", () => {
  const logFile = fs.readdirSync(join(DATA, "wal")).find((name) => name.endsWith(".wal"))!;
  test.each([
    `wal/${logFile}`,
    "wal/openings",
    "wal/extent",
    "wal/prepared.next",
    "shards/recent.db",
    "shards/recent.db-wal",
    "shards/007/state.db",
    "shards/007/segment-000006.db",
    "manifest",
    "manifest.last",
    "damaged/shards",
  ])("%s", async (name) => {
    const path = join(directory, name);
    fs.rmSync(path, { force: true });
    fs.mkdirSync(join(path, ".."), { recursive: true });
    expect(Bun.spawnSync(["mkfifo", path]).exitCode).toBe(0);
    const files = (await verified()).map(({ file }) => file);
    expect(files).toContain(name);
  });
});

describe("a file where the directory of a shard should be", () => {
  const SHARD = 7 as ShardId;

  beforeEach(() => {
    fs.rmSync(join(directory, "shards/007"), { recursive: true });
    fs.writeFileSync(join(directory, "shards/007"), "no directory");
  });

  test("is what verify says", async () => {
    const { findings } = await verifyDirectory(directory, { companions: COMPANIONS });
    expect(findings.filter(({ file }) => file.startsWith("shards/007")).map(({ what }) => what)).toContain(
      "it is no directory",
    );
  });

  test("is damage of that shard, and all others are served", async () => {
    const store = await openLogStore({ directory, damage: "close" }, QUIET);
    try {
      expect(() => store.shard(SHARD).readForward("@alice", 0 as Seq, 1)).toThrow(CorruptionError);
      expect(() => store.shard(SHARD)).toThrow("no directory");
      expect(store.shard(42 as ShardId).streams().size).toBeGreaterThan(0);
    } finally {
      await store.close();
    }
    expect(new DamagedDirectory(directory, realFileSystem).names()).toContain("shards");
  });
});
