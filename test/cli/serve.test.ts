import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BUN, isAlive, personsEnvironment, run, start, temporaryDirectory, until, type Started } from "./processes.ts";

const PROGRAM = join(import.meta.dir, "programs/serve-little.ts");
const READY = /^parley listening on (http:\/\/127\.0\.0\.1:(\d+))\n/;

let data: ReturnType<typeof temporaryDirectory>;
const started: Started[] = [];
beforeEach(() => void (data = temporaryDirectory()));
afterEach(async () => {
  for (const { pid, kill, exited } of started.splice(0)) {
    if (isAlive(pid)) kill("SIGKILL");
    await exited;
  }
  data.remove();
});

const command = (...args: string[]) => [BUN, PROGRAM, "serve", "--port", "0", "--data", data.path, ...args];

async function serving(changes: Record<string, string> = {}, before: string[] = []): Promise<Started> {
  const server = start([...before, ...command()], { env: personsEnvironment(changes) });
  started.push(server);
  await until("it is ready", () => READY.test(server.stdout()));
  return server;
}

test("the ready line is one line on stdout, and the server answers there", async () => {
  const server = await serving();
  const url = READY.exec(server.stdout())?.[1] ?? "";
  expect(server.stdout()).toBe(`parley listening on ${url}\n`);
  expect(await (await fetch(url)).text()).toBe("here");
});

describe("stopping", () => {
  test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)("%s drains and exits 0", async (signal) => {
    const server = await serving();
    server.kill(signal);
    expect(await server.exited).toBe(0);
    expect(server.stdout()).toEndWith("draining\ndrained\n");
    expect(server.stderr()).toMatch(new RegExp(`^parley: ${signal}, draining\nparley: drained in \\d+\\.\\d s\n$`));
  });

  test.each(["HUP", "INT"])("SIG%s that was ignored at the start, as by nohup, stays ignored", async (name) => {
    const server = await serving({}, ["sh", "-c", `trap '' ${name}; exec "$@"`, "sh"]);
    server.kill(`SIG${name}` as NodeJS.Signals);
    // A signal that is handled is handled before what comes after it.
    const url = READY.exec(server.stdout())?.[1] ?? "";
    for (let n = 0; n < 5; n++) expect(await (await fetch(url)).text()).toBe("here");
    server.kill("SIGTERM");
    expect(await server.exited).toBe(0);
    expect(server.stderr()).toStartWith("parley: SIGTERM, draining\n");
  });

  test("one Ctrl-C that arrives three times drains once and to the end", async () => {
    const server = await serving({ TEST_DRAIN_MS: "300" });
    for (let count = 0; count < 3; count++) server.kill("SIGINT");
    await until("it drains", () => server.stdout().includes("draining\n"));
    server.kill("SIGINT");
    expect(await server.exited).toBe(0);
    expect(server.stdout()).toEndWith("draining\ndrained\n");
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("a second %s while it drains ends it at once with status %d", async (signal, status) => {
    const server = await serving({ TEST_DRAIN_MS: "60000" });
    server.kill("SIGTERM");
    await until("it drains", () => server.stdout().includes("draining\n"));
    // Signals within a second of the first count as the first: repeat until the repeat is a second one.
    const repeat = setInterval(() => server.kill(signal), 100);
    try {
      expect(await server.exited).toBe(status);
    } finally {
      clearInterval(repeat);
    }
    expect(server.stdout()).not.toContain("drained");
  });
});

describe("an environment error is one line without a stack, and has its own exit status", () => {
  const cases: [string, Record<string, string>, number, string][] = [
    ["damaged data", { TEST_FAILS: "corrupt" }, 15, "log/1: checksum differs at byte 17"],
    ["data of a newer version", { TEST_FAILS: "format" }, 14, "log/1: format version 9"],
    ["a full disk", { TEST_FAILS: "full" }, 13, "the disk is full (ENOSPC)"],
    ["a bad option", { PARLEY_SEND_RATE: "fast" }, 2, 'PARLEY_SEND_RATE: "fast" is not a whole number'],
  ];
  test.each(cases)("%s", async (_name, changes, status, text) => {
    expectOneLine(await run(command(), { env: personsEnvironment(changes) }), status, text);
  });

  test("a port in use", async () => {
    const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const { port } = other;
    const result = await run(command("--port", String(port)));
    await other.stop(true);
    expectOneLine(result, 10, `port ${port} on 127.0.0.1 is in use; give another --port`);
  });

  test("a host that is not this machine's", async () => {
    expectOneLine(await run(command("--host", "192.0.2.1")), 10, "192.0.2.1 is not an address of this machine");
  });

  test("a data directory that cannot be written", async () => {
    const file = join(data.path, "file");
    writeFileSync(file, "");
    expectOneLine(await run(command("--data", join(file, "in"))), 11, `data directory ${file}/in cannot be written`);
  });

  test("a data directory that another server holds", async () => {
    const server = await serving();
    expectOneLine(
      await run(command()),
      12,
      `data directory ${data.path} is in use by process ${server.pid}; stop that server`,
    );
  });

  test("a mistake in the program keeps its stack, and exits with 1", async () => {
    const { status, stderr } = await run(command(), { env: personsEnvironment({ TEST_FAILS: "bug" }) });
    expect(status).toBe(1);
    expect(stderr).toContain("undefined is not a function");
    expect(stderr).toContain("serve-little.ts:");
  });
});

function expectOneLine(result: { status: number; stdout: string; stderr: string }, status: number, text: string): void {
  expect(result).toMatchObject({ status, stdout: "" });
  expect(result.stderr).toMatch(/^parley: [^\n]+\n$/);
  expect(result.stderr).toContain(text);
}
