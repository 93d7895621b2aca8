/** One server as several processes that share a port. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { shardOf, userAddress, type UserId } from "../../src/domain/address.ts";
import { runProgram } from "../../scripts/testing/program.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { dataDirectory } from "../support/data-directory.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";

const ROOT = join(import.meta.dir, "../..");
const MAIN = join(ROOT, "src/main.ts");
const COUNT = 2;
let server: TestProcess;

beforeAll(async () => {
  server = await TestProcess.start("--processes", String(COUNT));
}, 60_000);
afterAll(() => server.remove());

/** A name whose shard is at the first of two processes, or at the second. */
function nameAt(process: 1 | 2, name: string): string {
  for (let at = 0; ; at++)
    if (shardOf(userAddress(`${name}${at}` as UserId)) < 500 === (process === 1)) return `${name}${at}`;
}

function pidOf(name: string): number {
  return Number(readFileSync(join(server.dataDirectory, name, "LOCK"), "utf8"));
}

/** Other connections reach other processes, so a call is made until it is answered. */
async function say(from: Credentials, to: Credentials, text: string): Promise<void> {
  await until(`${text} is stored`, async () => {
    const message = { to: `@${to.user}`, text, ref: text };
    return (await server.api.post("/v1/messages", from.token, message)).status < 300;
  });
}

/** A receiver whose process was away gets the message when that is back. */
async function seen(who: Credentials, other: Credentials, ...texts: string[]): Promise<void> {
  const path = `/v1/conversations/${encodeURIComponent(`@${other.user}`)}/messages`;
  await until(`${who.user} has ${texts.join(", ")}`, async () => {
    const { status, body } = await server.api.get(path, who.token);
    return status === 200 && texts.join() === body.messages.map(({ text }: { text?: string }) => text).join();
  });
}

async function refused(data: string, ...args: string[]): Promise<{ status: number; output: string }> {
  const { status, output } = await runProgram(ROOT, [
    process.execPath,
    MAIN,
    "serve",
    "--data",
    data,
    "--port",
    "0",
    ...args,
  ]);
  return { status, output };
}

test("users of both processes talk over one port, one process is killed and started again, and nothing is lost", async () => {
  const [ann, bob] = await server.api.users(nameAt(1, "ann"), nameAt(2, "bob"));
  await say(ann!, bob!, "before");
  expect((await server.api.get("/v1/route", bob!.token)).body).toMatchObject({ node: "n2", url: server.url });
  const killed = pidOf("n2");
  process.kill(killed, "SIGKILL");
  await until("the process is started again", () => {
    const pid = pidOf("n2");
    return pid > 0 && pid !== killed;
  });
  await say(ann!, bob!, "after");
  await seen(bob!, ann!, "before", "after");
  expect(server.stderr).toContain("parley: process n2 ended by SIGKILL, and is started again\n");

  expect(await server.stop()).toBe(0);
  expect(server.stderr).toContain("parley: SIGTERM, draining 2 processes\n");
  await server.start();
  await seen(ann!, bob!, "before", "after");
}, 60_000);

test("a process ends with the one that started it, and gives its directory free", async () => {
  const pids = ["n1", "n2"].map(pidOf);
  await server.kill();
  for (const pid of pids) await until(`process ${pid} is gone`, () => !existsSync(`/proc/${pid}`));
  await server.start();
}, 60_000);

test("a port that is taken is refused, also one that other processes share", async () => {
  const other = await dataDirectory();
  const port = new URL(server.url).port;
  const { status, output } = await refused(other.path, "--processes", "2", "--port", port);
  rmSync(other.path, { recursive: true });
  expect([status, output]).toEqual([10, expect.stringContaining(`port ${port} on 127.0.0.1 is in use`)]);
}, 60_000);

test("another number of processes, one process, and a directory of one process are refused", async () => {
  await server.stop();
  const { dataDirectory: data } = server;
  expect(await refused(data, "--processes", "3")).toMatchObject({ status: 2 });
  expect((await refused(data, "--processes", "3")).output).toContain("is divided among 2 processes, not 3");
  expect((await refused(data)).output).toContain("is the data directory of several processes");
  expect((await refused(data, "--processes", "2", "--node", "n1")).output).toContain("a cluster of their own");
  const alone = await dataDirectory();
  await Bun.write(join(alone.path, "token.key"), "x");
  expect((await refused(alone.path, "--processes", "2")).output).toContain("is the data directory of one process");
  alone.remove();
}, 60_000);
