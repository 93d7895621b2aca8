/** Two servers on one directory, as where locks mean nothing. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { REFUSALS } from "../../src/home/refusals.ts";
import { BUN, MAIN, run } from "../cli/processes.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";

const PROGRAM = join(import.meta.dir, "programs/serve-unlocked.ts");
const { words } = REFUSALS["other writer"];

test("the first server refuses messages with the reason, the second goes on, and verify reports that two were at work", async () => {
  const data = await dataDirectory();
  const first = await TestProcess.startOn(data, PROGRAM, "--log-level", "warn");
  const [alice] = await first.api.users("alice", "bob");
  const send = (server: TestProcess, text: string) =>
    server.api.post("/v1/messages", alice!.token, { to: "@bob", text, ref: text });
  expect((await send(first, "first")).status).toBe(201);
  const second = await TestProcess.startOn(data, PROGRAM, "--log-level", "warn");
  try {
    await until("the first is not ready any more", async () => {
      return (await first.api.call("GET", "/readyz")).status === 503;
    });
    const refused = await send(first, "refused");
    expect([refused.status, refused.body.detail]).toEqual([503, expect.stringContaining(words)]);
    expect(first.stderr).toContain(`another server (process ${second.pid}) writes to ${data.path}/wal`);
    expect((await send(second, "second")).status).toBe(201);
    expect((await second.api.call("GET", "/readyz")).status).toBe(200);
    for (const server of [first, second]) expect(await server.stop()).toBe(0);
    const verified = await run([BUN, MAIN, "verify", "--data", data.path]);
    expect(verified.status).toBe(EXIT_STATUS.corrupt);
    expect(verified.stdout).toContain("opening 1 was at work when opening 2 began");
    expect(verified.stdout).toContain("restore the whole directory from a backup made before");
  } finally {
    await first.remove();
    await second.remove();
  }
});
