/** The commands over what a real server left: what they print, their exit statuses, and that looking changes nothing. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { runCommandLine } from "../../src/cli/commands.ts";
import { lockForReading, lockDataDirectory } from "../../src/cli/data-directory.ts";
import { eraseUserCommand } from "../../src/cli/erase-user.ts";
import { exportShardCommand } from "../../src/cli/export-shard.ts";
import { importShardCommand } from "../../src/cli/import-shard.ts";
import { inspectCommand } from "../../src/cli/inspect.ts";
import { keysCommand } from "../../src/cli/keys-command.ts";
import { verifyCommand } from "../../src/cli/verify.ts";
import { shardOf, type Address } from "../../src/domain/address.ts";
import { statePath } from "../../storage/files/sqlite/paths.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import { listFiles } from "../../storage/tools/inventory.ts";
import { TestProcess } from "../support/test-process.ts";
import { temporaryDirectory } from "./processes.ts";
import { copyDirectory, makeData, textOf, type MadeData } from "./tools-data.ts";

/** All of it in `recent.db`; with files of its own. */
const ANN = shardOf("@ann" as Address);
const TEAM = shardOf("#team" as Address);
let made: MadeData;
let place: ReturnType<typeof temporaryDirectory>;
beforeAll(async () => void (made = await makeData()));
afterAll(() => made.remove());
beforeEach(() => void (place = temporaryDirectory()));
afterEach(() => place.remove());

async function parley(...argv: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  let stdout = "";
  let stderr = "";
  const io = {
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    env: {},
  };
  const status = await runCommandLine(
    argv,
    [verifyCommand(), inspectCommand(), eraseUserCommand(), exportShardCommand(), importShardCommand(), keysCommand()],
    { version: "0", io },
  );
  return { status, stdout, stderr };
}

async function lines(...argv: string[]): Promise<Record<string, unknown>[]> {
  const { status, stdout } = await parley(...argv, "--json");
  expect(status).toBe(0);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

function copyOf(directory: string, name = "copy"): string {
  copyDirectory(directory, join(place.path, name));
  return join(place.path, name);
}

const content = (directory: string): string[] =>
  listFiles(directory).map(({ path }) => `${path} ${fs.readFileSync(join(directory, path), "hex")}`);

describe("parley verify", () => {
  test("says that nothing is wrong, with status 0, and changes nothing", async () => {
    const before = content(made.path);
    const { status, stdout } = await parley("verify", "--data", made.path);
    expect(status).toBe(0);
    expect(stdout).toStartWith(`${made.path}: nothing is wrong\n`);
    expect(stdout).toContain("every byte compared");
    expect(content(made.path)).toEqual(before);
  });

  test("names file, place and what to do, with status 15", async () => {
    const copy = copyOf(made.path);
    const file = listFiles(copy).find(({ path }) => path.startsWith("wal/"))!.path;
    const bytes = fs.readFileSync(join(copy, file));
    bytes[100]! ^= 1;
    fs.writeFileSync(join(copy, file), bytes);
    const { status, stdout } = await parley("verify", "--data", copy);
    expect(status).toBe(15);
    expect(stdout).toMatch(/: \d+ things? (is|are) wrong\n/);
    expect(stdout).toContain(`\n${file}\n  `);
    expect(stdout).toContain('→ run "parley repair"');
    const report = JSON.parse((await parley("verify", "--data", copy, "--json")).stdout);
    expect(report.findings[0]).toMatchObject({ kind: "changed", file });
  });

  test("one shard alone is looked at when it is named", async () => {
    const copy = copyOf(made.path);
    fs.truncateSync(statePath(copy, TEAM), 100);
    expect((await parley("verify", "--data", copy, "--shard", String(ANN))).status).toBe(0);
    expect((await parley("verify", "--data", copy, "--shard", String(TEAM))).status).toBe(15);
  });

  test("a directory that a server has open is refused with status 12, and what to do", async () => {
    const copy = copyOf(made.path);
    const taken = lockDataDirectory(copy);
    const { status, stderr } = await parley("verify", "--data", copy);
    taken.release();
    expect(status).toBe(12);
    expect(stderr).toContain("stop the server first, or verify a copy that was made while it was stopped");
  });

  test("a directory that is not there is status 11", async () => {
    expect(await parley("verify", "--data", join(place.path, "none"))).toMatchObject({ status: 11, stdout: "" });
  });
});

describe("the manifest", () => {
  test("is gone while a process writes, and two readers share the directory", () => {
    const copy = copyOf(made.path);
    const first = lockForReading(copy);
    const second = lockForReading(copy);
    expect(() => lockDataDirectory(copy)).toThrow("in use by");
    first.release();
    second.release();
    expect(fs.existsSync(join(copy, "manifest"))).toBe(true);
    lockDataDirectory(copy).release();
    expect(fs.existsSync(join(copy, "manifest"))).toBe(false);
    expect(fs.existsSync(join(copy, "manifest.last"))).toBe(true);
  });

  test("stays true when keys are made and revoked while no server runs", async () => {
    const copy = copyOf(made.path);
    expect((await parley("keys", "create", "--name", "later", "--data", copy)).status).toBe(0);
    const { status, stdout } = await parley("verify", "--data", copy);
    expect(stdout).toContain("every byte compared");
    expect(status).toBe(0);
  });

  test("carries the checksum of an unchanged file over, so that decay meanwhile is found", async () => {
    const server = await TestProcess.start("--log-level", "error");
    try {
      await server.stop();
      await server.start();
      const key = join(server.dataDirectory, "id.key");
      fs.copyFileSync(key, join(place.path, "times"));
      Bun.spawnSync(["touch", "-r", key, join(place.path, "times")]);
      const bytes = fs.readFileSync(key);
      bytes[5]! ^= 1;
      fs.writeFileSync(key, bytes);
      // As on a disk that decays: nobody wrote.
      Bun.spawnSync(["touch", "-r", join(place.path, "times"), key]);
      await server.stop();
      const { findings } = JSON.parse((await parley("verify", "--data", server.dataDirectory, "--json")).stdout);
      expect(findings).toMatchObject([{ kind: "changed", file: "id.key" }]);
    } finally {
      await server.remove();
    }
  });
});

describe("parley inspect", () => {
  test("shows the directory, the log, a shard, a stream and a message, and changes nothing that counts", async () => {
    const copy = copyOf(made.path);
    const overview = await parley("inspect", "--data", copy);
    expect(overview.status).toBe(0);
    expect(overview.stdout).toContain("LOG FILE");
    for (const shard of [ANN, TEAM]) expect(overview.stdout).toMatch(new RegExp(`\\n +${shard} +1 `));

    const log = await parley("inspect", "wal", "--data", copy, "--limit", "5");
    expect(log.stdout.split("\n").filter((line) => /^\d{10}\.wal|^ {3,}\d+ {2}shard/.test(line)).length).toBe(5);

    const shard = await parley("inspect", "shard", String(ANN), "--data", copy);
    expect(shard.stdout).toMatch(/\nrecent\.db +\d+ +1 /);
    expect(shard.stdout).not.toContain("state.db");
    expect(shard.stdout).toMatch(/@ann +\d+\n/);

    const own = await parley("inspect", "shard", String(TEAM), "--data", copy);
    expect(own.stdout).toMatch(/\nstate\.db +\d/);
    expect(own.stdout).toContain("SEGMENT");
    expect(own.stdout).toMatch(/#team +\d+\n/);

    const [entry] = await lines("inspect", "stream", "@ann", "--data", copy, "--after", "1", "--limit", "1");
    expect(entry).toMatchObject({
      stream: "@ann",
      seq: 2,
      kind: "sent",
      sender: "@ann",
      lane: "@bob",
      text: "good morning 0",
    });

    const { status, stdout } = await parley("verify", "--data", copy);
    expect(stdout).toContain("every byte compared");
    expect(status).toBe(0);
  });

  test("shows no password hash, whatever it shows", async () => {
    const server = await TestProcess.start("--log-level", "error", "--argon2-memory-kb", "64");
    try {
      const credentials = { user: "dora", password: "correct horse" };
      expect((await server.api.call("POST", "/v1/register", undefined, credentials)).status).toBe(201);
      await server.stop();
      const sql = join(server.dataDirectory, "plain.db");
      const shard = String(shardOf("@dora" as Address));
      const shown = [
        await parley("inspect", "wal", "--data", server.dataDirectory, "--json"),
        await parley("inspect", "stream", "@dora", "--data", server.dataDirectory),
        await parley("inspect", "stream", "@dora", "--data", server.dataDirectory, "--json"),
        await parley("inspect", "shard", shard, "--sql", sql, "--data", server.dataDirectory),
      ].map(({ status, stdout }) => {
        expect(status).toBe(0);
        return stdout;
      });
      shown.push(fs.readFileSync(sql, "latin1"));
      for (const text of shown) expect(text).not.toContain("argon2");
      expect(shown[1]).toContain("(secret, not shown)");
    } finally {
      await server.remove();
    }
  });

  test("shows what is in the log alone, beside a running server", async () => {
    const server = await TestProcess.start("--log-level", "error");
    try {
      const [ann] = await server.api.users("ann", "bob");
      const device = await server.connect(ann!);
      const { id } = await device.say("@bob", "not flushed yet");
      await device.close();
      const [entry] = await lines("inspect", "stream", "@bob", "--data", server.dataDirectory);
      expect(entry).toMatchObject({ kind: "taken", sender: "@ann", text: "not flushed yet" });
      const inLane = await lines(
        "inspect",
        "stream",
        "@bob",
        "--lane",
        "@ann",
        "--limit",
        "1",
        "--data",
        server.dataDirectory,
      );
      expect(inLane[0]).toMatchObject({ text: "not flushed yet" });
      await server.stop();
      const [message] = await lines("inspect", "message", id, "--data", server.dataDirectory);
      expect(message).toMatchObject({ id, stream: "@ann", kind: "sent", text: "not flushed yet" });
    } finally {
      await server.remove();
    }
  });

  test("tells what a user stores to the byte: in the log, in files, after an erasure, and nothing of the receiver's copy", async () => {
    const server = await TestProcess.start("--log-level", "error");
    const stored = async (user: string) => (await lines("inspect", "user", user, "--data", server.dataDirectory))[0];
    const none = { messages: 0, textBytes: 0 };
    try {
      const [ann, bob] = await server.api.users("ann", "bob");
      await server.api.group(ann!, "team", ["bob"]);
      const device = await server.connect(ann!);
      for (const [to, text] of [
        ["@bob", "Ωmega ✓"],
        ["@ann", "a note"],
        ["#team", "für alle"],
      ])
        await device.say(to!, text!);
      await device.close();
      const other = await server.connect(bob!);
      await other.say("#team", "bob's own");
      await other.close();
      const ofAnn = {
        user: "ann",
        messages: 3,
        textBytes: 25,
        direct: { messages: 2, textBytes: 16 },
        posts: { messages: 1, textBytes: 9 },
      };
      const posts = { messages: 1, textBytes: 9 };
      const ofBob = { user: "bob", messages: 1, textBytes: 9, direct: none, posts };
      expect(await stored("ann")).toEqual(ofAnn);
      await server.stop();
      expect([await stored("@ann"), await stored("bob")]).toEqual([ofAnn, ofBob]);
      expect((await parley("erase-user", "--user", "ann", "--yes", "--data", server.dataDirectory)).status).toBe(0);
      expect(await stored("ann")).toEqual({ user: "ann", ...none, direct: none, posts: none });
      expect(await stored("bob")).toEqual(ofBob);
    } finally {
      await server.remove();
    }
  });

  test.each([
    ["ann", 700],
    ["bob", 20],
  ])("counts all that %s wrote in %i rounds, after a clean stop and after a kill", async (user, rounds) => {
    // Every other message goes to the group (tools-data.ts).
    const said = (rest: number) => {
      const texts = Array.from({ length: rounds / 2 }, (_, at) => textOf(2 * at + rest));
      return { messages: texts.length, textBytes: Buffer.byteLength(texts.join("")) };
    };
    for (const data of [copyOf(made.path, "clean"), copyOf(made.killed, "killed")]) {
      const [stored] = await lines("inspect", "user", user, "--data", data);
      expect(stored).toMatchObject({ messages: rounds, direct: said(0), posts: said(1) });
    }
  });

  test("a directory in the place of a file of the log is one clear line, with status 15", async () => {
    const copy = copyOf(made.path);
    fs.mkdirSync(join(copy, "wal/0000099999.wal"));
    const { status, stderr } = await parley("inspect", "wal", "--data", copy);
    expect([status, stderr.trimEnd().split("\n")]).toEqual([
      15,
      [expect.stringContaining("there is a directory in the place of a file")],
    ]);
  });

  test("has no numbers for a user that is not there", async () => {
    const { status, stderr } = await parley("inspect", "user", "nobody", "--data", made.path);
    expect(status).toBe(1);
    expect(stderr).toContain("there is no user @nobody");
  });

  test("writes a shard to a plain SQLite file, messages as rows", async () => {
    const out = join(place.path, "ann.db");
    expect((await parley("inspect", "shard", String(ANN), "--sql", out, "--data", made.killed)).status).toBe(0);
    const db = new SqlDatabase(out, "readonly");
    const [{ messages }] = db
      .sql("SELECT count(*) AS messages FROM message WHERE stream = '@ann'")
      .all<{ messages: number }>() as [{ messages: number }];
    const { head_seq } = db.sql("SELECT head_seq FROM stream WHERE name = '@ann'").get<{ head_seq: number }>()!;
    const found = db
      .sql("SELECT sender, text FROM message WHERE lane = '@bob' AND kind = 'sent' ORDER BY seq LIMIT 1")
      .get();
    db.close();
    expect(messages).toBe(head_seq);
    expect(messages).toBeGreaterThan(20);
    expect(found).toEqual({ sender: "@ann", text: "good morning 0" });
    expect(fs.readdirSync(place.path)).toEqual(["ann.db"]);
  });

  test.each([
    [["stream"], "stream needs an address"],
    [["stream", "nobody"], "a stream that is no address needs --shard"],
    [["shard", "1000"], '"1000" is no shard'],
    [["message", "xyz"], "is no message id of this server"],
    [["everything"], "expected wal, shard, stream, user or message"],
    [["user"], "user needs a name"],
    [["user", "No Name"], "is not 1 to 32 of"],
    [["shard", "1", "2"], "too many words"],
  ])("%j is one clear line and status 2", async (words, line) => {
    const { status, stderr } = await parley("inspect", ...words, "--data", made.path);
    expect(status).toBe(2);
    expect(stderr).toContain(line);
  });
});

describe("parley export-shard and import-shard", () => {
  test("bring a shard with what only the log had to another directory, where everything reads the same and verify finds nothing", async () => {
    const from = copyOf(made.killed);
    const to = join(place.path, "to");
    const file = join(place.path, "ann.shard");
    const before = await lines("inspect", "stream", "@ann", "--limit", "1000", "--data", from);
    const exported = await parley("export-shard", String(ANN), "--out", file, "--data", from);
    expect(exported).toMatchObject({ status: 0, stderr: "" });
    const imported = await parley("import-shard", file, "--data", to);
    expect(imported.stdout).toContain(`shard ${ANN} through offset`);
    const after = await lines("inspect", "stream", "@ann", "--limit", "1000", "--data", to);
    const entries = (rows: Record<string, unknown>[]) => rows.filter(({ seq }) => seq !== undefined);
    expect(entries(after)).toEqual(entries(before));
    for (const directory of [from, to]) {
      const { status, stdout } = await parley("verify", "--data", directory);
      expect(stdout).toContain("every byte compared");
      expect(status).toBe(0);
    }
    expect(await parley("import-shard", file, "--data", to)).toMatchObject({ status: 1 });
  });

  test("a shard without data, a missing --out, a missing file: one clear line each", async () => {
    const file = join(place.path, "x");
    expect((await parley("export-shard", "0", "--out", file, "--data", made.path)).stderr).toContain(
      "shard 0 has no data",
    );
    expect(await parley("export-shard", String(ANN), "--data", made.path)).toMatchObject({ status: 2 });
    expect(await parley("export-shard", "--out", file, "--data", made.path)).toMatchObject({ status: 2 });
    expect(await parley("import-shard", file, "--data", made.path)).toMatchObject({ status: 2 });
    expect(await parley("import-shard", place.path, "--data", made.path)).toMatchObject({ status: 2 });
    expect(fs.existsSync(file)).toBe(false);
  });

  test("a damaged file is status 15 and changes nothing", async () => {
    const file = join(place.path, "ann.shard");
    await parley("export-shard", String(ANN), "--out", file, "--data", made.path);
    const bytes = fs.readFileSync(file);
    bytes[bytes.length >> 1]! ^= 8;
    fs.writeFileSync(file, bytes);
    const { status, stderr } = await parley("import-shard", file, "--data", join(place.path, "to"));
    expect(status).toBe(15);
    expect(stderr).toContain("export it again; nothing was changed");
    expect(fs.existsSync(join(place.path, "to/shards", String(ANN)))).toBe(false);
  });
});
