/** The program itself, with the real node in it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BUN, isAlive, MAIN, run, start, temporaryDirectory, until, type Started } from "./processes.ts";

const READY = /^parley listening on (http:\/\/127\.0\.0\.1:(\d+))\n$/;

let temporary: ReturnType<typeof temporaryDirectory>;
const started: Started[] = [];
beforeEach(() => void (temporary = temporaryDirectory()));
afterEach(async () => {
  for (const { pid, kill, exited } of started.splice(0)) {
    if (isAlive(pid)) kill("SIGKILL");
    await exited;
  }
  temporary.remove();
});

const serve = (...args: string[]) => [
  BUN,
  MAIN,
  "serve",
  "--port",
  "0",
  "--data",
  join(temporary.path, "data"),
  ...args,
];

async function serving(): Promise<{ server: Started; url: string; port: string }> {
  const server = start(serve());
  started.push(server);
  await until("it is ready", () => READY.test(server.stdout()));
  const [, url = "", port = ""] = READY.exec(server.stdout()) ?? [];
  return { server, url, port };
}

test("parley serve says where it listens, is ready there, and drains on SIGTERM with status 0", async () => {
  const { server, url } = await serving();
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  server.kill("SIGTERM");
  expect(await server.exited).toBe(0);
});

test("a port in use is one line and status 10, though storage is open by then", async () => {
  const { port } = await serving();
  const result = await run([...serve("--data", join(temporary.path, "other")), "--port", port]);
  expect(result.status).toBe(10);
  expect(result.stderr).toMatch(new RegExp(`^parley: port ${port} on 127.0.0.1 is in use; give another --port$`, "m"));
  expect(result.stderr).not.toContain("    at ");
});

test("a data directory in use is one line and status 12, and free again after kill -9", async () => {
  const { server } = await serving();
  const result = await run(serve());
  expect(result).toMatchObject({ status: 12, stdout: "" });
  expect(result.stderr).toMatch(new RegExp(`^parley: data directory .* is in use by process ${server.pid}; .*\n$`));
  server.kill("SIGKILL");
  await server.exited;
  await serving();
});

test("a data directory that cannot be made is one line and status 11", async () => {
  const result = await run(serve("--data", "/proc/parley"));
  expect(result).toMatchObject({ status: 11, stdout: "" });
  expect(result.stderr).toMatch(/^parley: data directory \/proc\/parley cannot be written: [^\n]+\n$/);
});

test("help leaves nothing behind, and comes whole through a pipe", async () => {
  const result = await run([BUN, MAIN, "--help"], { cwd: temporary.path });
  expect(result).toMatchObject({ status: 0, stderr: "" });
  expect(result.stdout).toEndWith("the data is damaged\n");
  expect(existsSync(join(temporary.path, "data"))).toBe(false);
});

test("without arguments it shows help and starts nothing; an option as the first word means serve", async () => {
  expect(await run([BUN, MAIN], { cwd: temporary.path })).toEqual(await run([BUN, MAIN, "--help"]));
  expect(existsSync(join(temporary.path, "data"))).toBe(false);
  const server = start([BUN, MAIN, "--port", "0", "--data", join(temporary.path, "data")]);
  started.push(server);
  await until("it is ready", () => READY.test(server.stdout()));
});

test("parley keys is there", async () => {
  const result = await run([BUN, MAIN, "keys", "list", "--data", temporary.path]);
  expect(result.status).toBe(0);
});
