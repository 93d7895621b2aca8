/** `parley erase-user` and `parley compact`: over a directory at rest, and through a running server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { runCommandLine } from "../../src/cli/commands.ts";
import { compactCommand } from "../../src/cli/compact.ts";
import { eraseUserCommand } from "../../src/cli/erase-user.ts";
import { verifyCommand } from "../../src/cli/verify.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { TestProcess } from "../support/test-process.ts";
import { temporaryDirectory } from "./processes.ts";

const word = (of: string): string => `${of}${crypto.randomUUID().replaceAll("-", "")}`;
const [ofAnn, ofBen] = [word("ann"), word("ben")];
const SAYS = 400;

let server: TestProcess;
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(async () => {
  place = temporaryDirectory();
  server = await TestProcess.start("--log-level", "error", "--send-burst", "100000", "--segment-mb", "1");
  const [ann, ben] = (await server.api.users("ann", "ben")) as [Credentials, Credentials];
  const both = [
    { device: await server.connect(ann), to: "@ben", text: ofAnn },
    { device: await server.connect(ben), to: "@ann", text: ofBen },
  ];
  for (let i = 0; i < SAYS; i++) for (const { device, to, text } of both) await device.say(to, `${text} ${i}`);
  for (const { device } of both) await device.close();
  await server.stop();
});
afterAll(async () => {
  place.remove();
  await server.remove();
});

async function parleyWith(env: Record<string, string>, ...argv: string[]) {
  const printed = { stdout: "", stderr: "" };
  const io = {
    stdout: (text: string) => void (printed.stdout += text),
    stderr: (text: string) => void (printed.stderr += text),
    env,
  };
  const status = await runCommandLine(argv, [eraseUserCommand(), compactCommand(), verifyCommand()], {
    version: "0",
    io,
  });
  return { status, ...printed };
}
const parley = (...argv: string[]) => parleyWith({}, ...argv);

test("nothing is erased without a user or without --yes, for an unknown user, or without a directory", async () => {
  const data = ["--data", server.dataDirectory];
  expect(await parley("erase-user", ...data, "--yes")).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("--user is missing"),
  });
  const asked = await parley("erase-user", ...data, "--user", "ann");
  expect(asked).toMatchObject({ status: 2, stdout: "" });
  expect(asked.stderr).toContain("nothing was erased: all messages of @ann");
  expect(asked.stderr).toContain("--yes");
  expect(await parley("erase-user", ...data, "--user", "@ann", "--yes")).toMatchObject({ status: 2 });
  const nobody = await parley("erase-user", ...data, "--user", "nobody", "--yes");
  expect(nobody).toMatchObject({ status: 1, stderr: expect.stringContaining("there is no user @nobody") });
  const nowhere = join(place.path, "nowhere");
  expect((await parley("erase-user", "--data", nowhere, "--user", "ann", "--yes")).status).toBe(11);
  expect((await parley("compact", "--data", nowhere)).status).toBe(11);
  expect(filesWith(server.dataDirectory, Buffer.from(ofAnn)).length).toBeGreaterThan(0);
  expect(await parley("verify", ...data)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("every byte compared"),
  });
});

test("help says that there is no way back, and where the key goes", async () => {
  const { status, stdout } = await parley("erase-user", "--help");
  expect(status).toBe(0);
  for (const said of ["--user USER", "--yes", "no way back", "--url URL", "PARLEY_API_KEY", "--data DIR"])
    expect(stdout).toContain(said);
  expect((await parley("compact", "--help")).stdout).toContain("--level N");
});

test("a server that uses the directory is not disturbed, and erases when it is asked", async () => {
  await server.start();
  const locked = await parley("erase-user", "--data", server.dataDirectory, "--user", "ann", "--yes");
  expect(locked).toMatchObject({
    status: 12,
    stderr: expect.stringContaining("erase-user --user ann --yes --url URL"),
  });
  expect((await parley("compact", "--data", server.dataDirectory)).status).toBe(12);
  const url = ["--url", server.url];
  expect((await parley("erase-user", ...url, "--user", "ann", "--yes")).stderr).toContain("needs an API key");
  const wrong = await parley("erase-user", ...url, "--api-key", "pk_nonsense", "--user", "ann", "--yes");
  expect(wrong).toMatchObject({ status: 1, stderr: expect.stringContaining("(unauthorized)") });
  const key = { PARLEY_API_KEY: server.api.apiKey };
  const unknown = await parleyWith(key, "erase-user", ...url, "--user", "nobody", "--yes");
  expect(unknown).toMatchObject({ status: 1, stderr: expect.stringContaining("(unknown_address)") });
  const done = await parleyWith(key, "erase-user", ...url, "--user", "ann", "--yes");
  expect(done).toEqual({
    status: 0,
    stdout: `@ann: ${(3 * SAYS).toLocaleString("en-US")} entries erased, gone from every file\n`,
    stderr: "",
  });
  await server.stop();
  expect(filesWith(server.dataDirectory, Buffer.from(ofAnn))).toEqual([]);
  expect(filesWith(server.dataDirectory, Buffer.from(ofBen)).length).toBeGreaterThan(0);
  const away = await parleyWith(key, "erase-user", "--url", "http://127.0.0.1:1", "--user", "ann", "--yes");
  expect(away).toMatchObject({ status: 1, stderr: expect.stringContaining("cannot be reached") });
});

test("in a directory at rest everything is erased, the result is JSON with --json, and a second run does no harm", async () => {
  const erase = async () => {
    const { status, stdout } = await parley(
      "erase-user",
      "--data",
      server.dataDirectory,
      "--user",
      "ben",
      "--yes",
      "--json",
    );
    expect(status).toBe(0);
    return JSON.parse(stdout);
  };
  // Of ann's, only the copies with ben were left of what ben wrote.
  expect(await erase()).toMatchObject({ user: "ben", state: "done", entries: SAYS });
  expect(await erase()).toMatchObject({ user: "ben", state: "done", entries: 0 });
  expect(filesWith(server.dataDirectory, Buffer.from(ofBen))).toEqual([]);
  expect(await parley("verify", "--data", server.dataDirectory)).toMatchObject({ status: 0 });
});

test("compacting a directory at rest makes it smaller, and it stays whole", async () => {
  const { status, stdout } = await parley("compact", "--data", server.dataDirectory, "--json");
  expect(status).toBe(0);
  const { filesBefore, filesAfter, bytesBefore, bytesAfter } = JSON.parse(stdout);
  expect(filesAfter).toBeLessThanOrEqual(filesBefore);
  expect(bytesAfter).toBeLessThanOrEqual(bytesBefore);
  expect(await parley("verify", "--data", server.dataDirectory)).toMatchObject({ status: 0 });
  const again = await parley("compact", "--data", server.dataDirectory);
  expect(again).toMatchObject({ status: 0, stdout: expect.stringContaining("before; ") });
  const empty = join(place.path, "empty");
  mkdirSync(empty);
  expect((await parley("compact", "--data", empty)).stdout).toStartWith("0 shards with sealed segments");
});
