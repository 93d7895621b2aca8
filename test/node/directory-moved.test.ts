/** A data directory that is moved away under a server that works, and another server in its place. */
import { expect, test } from "bun:test";
import { cpSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { COMPANIONS } from "../../src/cli/tool-options.ts";
import { verifyDirectory } from "../../storage/tools/verify.ts";
import { BUN, MAIN, run } from "../cli/processes.ts";
import { dataDirectory, type DataDirectory } from "../support/data-directory.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";

const PROGRAM = join(import.meta.dir, "programs/serve-small-files.ts");
/** A memtable of 1 MiB: flushes come soon, too. */
const ARGS = ["--send-burst", "1000000", "--send-rate", "1000000", "--memtable-mb", "1", "--log-level", "warn"];
const LANES = 8;
const WORDS = "the data directory was moved, removed or replaced";

type Traffic = {
  acked: Set<string>;
  /** What messages were refused with. */
  refusals: Set<string>;
  stop: () => Promise<void>;
};

/** Messages from alice to bob, a few at a time, until stopped or the server ends. A refused one is followed by others. */
function send(server: TestProcess, alice: Credentials, name: string): Traffic {
  const acked = new Set<string>();
  const refusals = new Set<string>();
  let isStopped = false;
  const lane = async (no: number): Promise<void> => {
    for (let n = 0; !isStopped; n++) {
      const text = `${name} ${no} ${n} ${"and so on ".repeat(20)}`;
      const body = { to: "@bob", text, ref: `${name}-${no}-${n}` };
      const answer = await server.api.post("/v1/messages", alice.token, body).catch(() => undefined);
      // The server is gone.
      if (answer === undefined) return;
      if (answer.status === 201) acked.add(text);
      else refusals.add(`${answer.body.code}: ${answer.body.detail}`);
    }
  };
  const lanes = Array.from({ length: LANES }, (_, no) => lane(no));
  return {
    acked,
    refusals,
    async stop() {
      isStopped = true;
      await Promise.all(lanes);
    },
  };
}

async function expectFound(server: TestProcess, { acked }: Traffic, alice: Credentials): Promise<void> {
  const found = new Set((await server.api.history(alice, "@bob")).map(({ text }) => text));
  expect([...acked].filter((text) => !found.has(text))).toEqual([]);
}

const logFiles = (directory: string): number => readdirSync(join(directory, "wal")).length;

test("rm DIR/LOCK lets no second server in; mv DIR DIR.old does, on DIR: the first stops taking messages, no file of it is in the other's directory, and all acked is found", async () => {
  const data = await dataDirectory();
  const moved: DataDirectory = { ...data, path: `${data.path}.old` };
  const first = await TestProcess.startOn(data, PROGRAM, ...ARGS);
  let second: TestProcess | undefined;
  try {
    const [alice] = (await first.api.users("alice", "bob")) as [Credentials];
    const before = send(first, alice, "first");
    await until("there are several log files and a flush", () => before.acked.size > 200 && logFiles(data.path) > 3);

    rmSync(join(data.path, "LOCK"));
    const refused = await run([BUN, MAIN, "serve", "--port", "0", "--data", data.path]);
    expect([refused.status, refused.stderr]).toEqual([EXIT_STATUS.dataLocked, expect.stringContaining("is in use by")]);

    renameSync(data.path, moved.path);
    cpSync(join(moved.path, "api-keys.json"), join(data.path, "api-keys.json"));
    second = await TestProcess.startOn(data, PROGRAM, ...ARGS);
    // Those that waited just then are told that the log could not be written.
    const isRefused = (): boolean => [...before.refusals].some((words) => words.startsWith(`unavailable: ${WORDS}`));
    await until("the first says why it refuses", isRefused);
    const ready = await first.api.call("GET", "/readyz");
    expect([ready.status, JSON.stringify(ready.body)]).toEqual([503, expect.stringContaining(WORDS)]);
    expect(first.stderr).toContain(WORDS);
    expect(first.stderr).toMatch(/\S was moved or removed|another directory is at \S/);

    const [ann] = (await second.api.users("alice", "bob")) as [Credentials];
    const after = send(second, ann, "second");
    await until("the second has several log files", () => after.acked.size > 200 && logFiles(data.path) > 3);
    await after.stop();
    // What was acked by the first can be read meanwhile.
    await expectFound(first, before, alice);
    expect(await second.stop()).toBe(0);
    // The first goes on trying, ends in peace, and has put nothing beside what the second left.
    expect(await first.stop()).toBe(0);
    await before.stop();
    const report = await verifyDirectory(data.path, { companions: COMPANIONS });
    expect([report.findings, report.coveredFiles]).toEqual([[], report.files]);
    expect((await verifyDirectory(moved.path, { companions: COMPANIONS })).findings).toEqual([]);

    await second.start();
    await expectFound(second, after, ann);
    const third = await TestProcess.startOn(moved, PROGRAM, ...ARGS);
    try {
      await expectFound(third, before, alice);
    } finally {
      await third.remove();
    }
  } finally {
    await second?.remove();
    await first.remove();
    moved.remove();
  }
});
