/** `parley compact` finishes erasures that a crash cut short, wherever it did. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { createLogger } from "../../src/base/logger.ts";
import { compactCommand } from "../../src/cli/compact.ts";
import { runCommandLine } from "../../src/cli/commands.ts";
import { verifyCommand } from "../../src/cli/verify.ts";
import { userAddress, type UserId } from "../../src/domain/address.ts";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import { MessageIds } from "../../src/domain/message-id.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { eraseBefore } from "../../src/home/erasing/retention.ts";
import { ShardHost } from "../../src/node/shard-host.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { TestProcess } from "../support/test-process.ts";

const word = (): string => `own${crypto.randomUUID().replaceAll("-", "")}`;

/** So much that shards have segments of their own. */
const padding = (): string => crypto.getRandomValues(new Uint8Array(6000)).toBase64();

let server: TestProcess;
let own: string;
beforeEach(async () => {
  own = word();
  server = await TestProcess.start("--log-level", "error");
});
afterEach(() => server.remove());

const files = (): string[] => filesWith(server.dataDirectory, Buffer.from(own));

async function write(): Promise<void> {
  const [ann] = (await server.api.users("ann", "ben")) as [Credentials];
  const device = await server.connect(ann);
  for (let i = 0; i < 100; i++) await device.say("@ben", `${own} ${i} ${padding()}`);
  device.terminate();
}

async function parley(...argv: string[]) {
  const printed = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => void (printed.stdout += text),
    stderr: (text: string) => void (printed.stderr += text),
    env: {},
  };
  const args = [...argv, "--data", server.dataDirectory];
  const status = await runCommandLine(args, [compactCommand(), verifyCommand()], { version: "0", io });
  return { status, ...printed };
}

test.each(["the log alone", "the files, too"])(
  "what a user asked for just before a crash is done, when it was in %s",
  async (place) => {
    await write();
    if (place === "the files, too") {
      expect(await server.stop()).toBe(0);
      await server.start();
    }
    expect((await server.api.keyed("POST", "/v1/users/ann/erasure")).status).toBe(202);
    await server.kill();
    expect(files().length).toBeGreaterThan(0);
    expect((await parley("compact")).status).toBe(0);
    expect(files()).toEqual([]);
    expect((await parley("verify")).status).toBe(0);
    await server.start();
    expect((await server.api.keyed("GET", "/v1/users/ann/erasure")).body).toMatchObject({
      state: "done",
      entries: 200,
    });
  },
);

test("expired messages that were erased only in the log are in no file", async () => {
  await write();
  expect(await server.stop()).toBe(0);
  const ports = {
    clock: systemClock,
    ids: new MessageIds(new Uint8Array(16)),
    limits: DEFAULT_LIMITS,
    logger: createLogger("error", (line) => void process.stderr.write(line), systemClock.now),
  };
  const host = await ShardHost.open({ directory: server.dataDirectory }, ports, () => {});
  for (const user of ["ann", "ben"])
    expect(
      (await eraseBefore(host.home(user as UserId), userAddress(user as UserId), systemClock.now() + 1, () => false))
        .entries,
    ).toBe(100);
  // Closing flushes nothing: the files are as a crash leaves them.
  host.markTurns.stop();
  await host.store.close();
  expect(files().length).toBeGreaterThan(0);
  expect((await parley("compact")).status).toBe(0);
  expect(files()).toEqual([]);
  expect((await parley("verify")).status).toBe(0);
});
