/** Shards that were opened anew, and could not be taken over: they are closed before they are opened again. */
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import * as fs from "node:fs";
import { FaultyFiles } from "../support/faulty-files.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";
import { DurableReads } from "../../storage/shard/durable-reads.ts";

let faults: FaultyFiles;
let node: TestNode;
beforeEach(async () => {
  faults = new FaultyFiles();
  node = await startTestNode({}, { files: faults.files });
});
afterEach(async () => {
  faults.release();
  await node.stop();
});

/** Log files that this process has open. */
function openLogs(): string[] {
  return fs.readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = fs.readlinkSync(`/proc/self/fd/${fd}`);
      return path.endsWith(".wal") ? [path] : [];
    } catch {
      return [];
    }
  });
}

test("each failed attempt to reopen a log closes the files that it opened", async () => {
  const [alice] = await node.api.users("alice", "bob");
  const before = openLogs().length;
  const device = await node.connect(alice!);
  await device.say("@bob", "acked before");
  let failures = 0;
  const since = spyOn(DurableReads.prototype, "streamsSince").mockImplementation(() => {
    failures++;
    throw Object.assign(new Error("unable to open database file"), { code: "SQLITE_CANTOPEN" });
  });
  try {
    faults.failNextWrite("EIO");
    expect(await device.ask("@bob", "waits", "r-1")).toMatchObject({ code: "unavailable" });
    await until("three tries have failed", () => failures >= 3);
    expect(openLogs().length).toBeLessThanOrEqual(before + 1);
  } finally {
    since.mockRestore();
  }
  await until("it serves again", async () => (await node.api.call("GET", "/readyz")).status === 200);
  expect(openLogs()).toHaveLength(before);
});
