/** What `parley repair` leaves is safe to serve: a real server on the directory, with strangers, old devices and old positions. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { EXIT_STATUS } from "../../src/cli/fatal-error.ts";
import { shardOf, type Address } from "../../src/domain/address.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { MendNote } from "../../src/node/mend/notes.ts";
import { SqlDatabase } from "../../storage/files/sqlite/database.ts";
import type { Answer } from "../support/api.ts";
import { TestProcess } from "../support/test-process.ts";
import { BUN, MAIN, personsEnvironment, run, start, temporaryDirectory, until } from "./processes.ts";
import { copyDirectory } from "./tools-data.ts";

const PASSWORD = "a password of before";
let place: ReturnType<typeof temporaryDirectory>;
let made: string;
let server: TestProcess;
let people: Record<string, Credentials>;
/** Logged out after the last flush. */
let revoked: Credentials;
/** Of the last log file, with the record of that. */
let logBytes: number;

const register = async (user: string): Promise<Answer> =>
  server.api.call("POST", "/v1/register", undefined, { user, password: "a stranger's password" });
const login = async (user: string, password: string): Promise<Answer> =>
  server.api.call("POST", "/v1/login", undefined, { user, password });

beforeAll(async () => {
  place = temporaryDirectory();
  made = join(place.path, "made");
  server = await TestProcess.start("--log-level", "error");
  people = {};
  for (const user of ["ann", "bob", "cem", "dora"]) {
    const { body } = await server.api.call("POST", "/v1/register", undefined, { user, password: PASSWORD });
    people[user] = body as Credentials;
  }
  await server.api.group(people["cem"]!, "team", ["dora"]);
  revoked = (await login("cem", PASSWORD)).body as Credentials;
  const [bob, cem] = [await server.connect(people["bob"]!), await server.connect(people["cem"]!)];
  for (let n = 0; n < 20; n++) {
    await bob.say("@ann", `secret ${n}`);
    await cem.say("#team", `to the team ${n}`);
  }
  await cem.say("@ann", "hello");
  await (await server.connect(people["ann"]!)).say("@dora", "hello");
  await server.stop();
  // What comes from here on stands in the log alone.
  await server.start();
  const again = await server.connect(people["ann"]!);
  await again.say("@bob", "for bob alone");
  expect((await server.api.call("POST", "/v1/logout", revoked.token)).status).toBe(204);
  logBytes = lengthOf(lastLog(server.dataDirectory));
  await again.say("@bob", "for bob as well");
  await server.kill();
  copyDirectory(server.dataDirectory, made);
});
afterAll(async () => {
  await server.remove();
  place.remove();
});

/** What `recent.db` has of the shards of these, who have no other files; the log of before the last start is gone. */
function lose(at: string, ...addresses: string[]): void {
  fs.rmSync(join(at, "wal/0000000001.wal"));
  // As if it had been trimmed: what is lost is what stands here and no more.
  fs.rmSync(join(at, "wal/extent"));
  const db = new SqlDatabase(join(at, "shards/recent.db"), "readwrite");
  for (const address of addresses)
    db.sql("UPDATE page SET data = zeroblob(8) WHERE shard = ?").run(shardOf(address as Address));
  db.close();
}

function lastLog(at: string): string {
  const names = fs.readdirSync(join(at, "wal")).filter((name) => /^\d+\.wal$/.test(name));
  return join(at, "wal", names.toSorted().at(-1)!);
}

const lengthOf = (path: string): number => fs.readFileSync(path).findLastIndex((byte) => byte !== 0) + 1;

/** All frames of the last log file but those behind the logout. */
function loseLog(at: string): void {
  const path = lastLog(at);
  fs.writeFileSync(path, fs.readFileSync(path).fill(0xa5, 64, logBytes));
}

const parley = (...words: string[]) => run([BUN, MAIN, ...words]);

async function repaired(
  name: string,
  damage: (at: string) => void,
  ...more: string[]
): Promise<{ to: string; notes: MendNote[]; report: string }> {
  const damaged = join(place.path, name);
  copyDirectory(made, damaged);
  damage(damaged);
  const to = `${damaged}-whole`;
  const { status, stdout, stderr } = await parley("repair", "--data", damaged, "--to", to, "--json", ...more);
  expect([status, stderr]).toEqual([0, ""]);
  const said = JSON.parse(stdout) as { notes: MendNote[]; reportAt: string };
  return { to, notes: said.notes, report: fs.readFileSync(said.reportAt, "utf8") };
}

async function served(data: string, work: () => Promise<void>): Promise<void> {
  fs.rmSync(server.dataDirectory, { recursive: true });
  copyDirectory(data, server.dataDirectory);
  await server.start();
  try {
    await work();
  } finally {
    await server.stop();
  }
}

/** The account, given back by the operator. */
async function givenBack(data: string, user: string): Promise<string> {
  const { status, stdout, stderr } = await parley("reset-password", "--data", data, "--user", user, "--json");
  expect([status, stderr]).toEqual([0, ""]);
  return (JSON.parse(stdout) as { password: string }).password;
}

const textsOf = async (who: Credentials, address: string): Promise<string[]> =>
  (await server.api.history(who, address)).flatMap(({ text }) => (text === undefined ? [] : [text]));

describe("an account that has lost its profile", () => {
  test("is nobody else's, says why a login is refused, and is given back by the operator; its messages arrive", async () => {
    const { to, report } = await repaired("profile", (at) => lose(at, "@bob"));
    expect(report).toContain("@bob  the account lost its profile; its name stays taken");
    await served(to, async () => {
      expect(await register("bob")).toMatchObject({ status: 409, body: { code: "user_taken" } });
      expect(await login("bob", PASSWORD)).toMatchObject({
        status: 401,
        body: { code: "bad_credentials", detail: expect.stringContaining("ask its operator") },
      });
      expect((await server.api.get("/v1/conversations", people["bob"]!.token)).status).toBe(401);
    });
    const password = await givenBack(to, "bob");
    await served(to, async () => {
      const bob = (await login("bob", password)).body as Credentials;
      expect(await textsOf(bob, "@ann")).toEqual(["for bob alone", "for bob as well"]);
      const before = (await server.api.history(people["ann"]!, "@bob")).map(({ id }) => id);
      const ann = (await login("ann", PASSWORD)).body as Credentials;
      const device = await server.connect(bob);
      const { id } = await device.say("@ann", "I am back");
      expect(before).not.toContain(id);
      expect((await textsOf(ann, "@bob")).at(-1)).toBe("I am back");
    });
  });

  test("is reserved when nothing of its shard is left, and is in its groups again, with the ids of its messages", async () => {
    const { to } = await repaired("emptied", (at) => lose(at, "@dora", "@bob"));
    const password = await givenBack(to, "dora");
    await served(to, async () => {
      expect(await register("dora")).toMatchObject({ status: 409 });
      const dora = (await login("dora", password)).body as Credentials;
      expect((await textsOf(dora, "#team")).at(-1)).toBe("to the team 19");
      const device = await server.connect(dora);
      expect((await device.say("#team", "here again")).seq).toBe(22);
    });
  });
});

describe("a device that was logged out", () => {
  test("stays logged out when the record of it is lost, and so do all other devices of that user", async () => {
    const { to, notes } = await repaired("log", loseLog, "--shard", String(shardOf("@cem" as Address)));
    expect(notes.map(({ kind, stream }) => `${kind} ${stream}`)).toContain("devices @cem");
    expect(notes.map(({ what }) => what)).toContainEqual(
      expect.stringContaining("names and positions that only they know are missing"),
    );
    await served(to, async () => {
      expect((await server.api.get("/v1/conversations", revoked.token)).status).toBe(401);
      expect((await server.api.get("/v1/conversations", people["cem"]!.token)).status).toBe(401);
      expect((await login("cem", PASSWORD)).status).toBe(200);
    });
  });
});

describe("a group that has lost its shard", () => {
  test("is nobody else's, has the members whose timelines say so, one who leads it, and positions behind the old ones", async () => {
    const { to } = await repaired("group", (at) => lose(at, "#team"));
    await served(to, async () => {
      const [ann, cem, dora] = await Promise.all(
        ["ann", "cem", "dora"].map(async (user) => (await login(user, PASSWORD)).body as Credentials),
      );
      const taken = await server.api.post("/v1/groups", ann!.token, { id: "team", name: "mine", members: [] });
      expect(taken).toMatchObject({ status: 409, body: { code: "group_taken" } });
      const { body } = await server.api.get("/v1/groups/team", dora!.token);
      expect(body).toMatchObject({ name: "team" });
      expect(body.members.toSorted((a: { user: string }, b: { user: string }) => (a.user < b.user ? -1 : 1))).toEqual([
        { user: "cem", role: expect.any(String) },
        { user: "dora", role: expect.any(String) },
      ]);
      expect(body.members.filter(({ role }: { role: string }) => role === "admin")).toHaveLength(1);
      const device = await server.connect(cem!);
      expect((await device.say("#team", "on we go")).seq).toBeGreaterThan(21);
      expect((await textsOf(dora!, "#team")).at(-1)).toBe("on we go");
    });
  });

  test("that has lost a member's shard as well is not open to that member", async () => {
    const { to } = await repaired("both", (at) => lose(at, "#team", "@dora"));
    const password = await givenBack(to, "dora");
    await served(to, async () => {
      const dora = (await login("dora", password)).body as Credentials;
      expect((await server.api.get("/v1/groups/team", dora.token)).status).toBeGreaterThanOrEqual(400);
      const cem = (await login("cem", PASSWORD)).body as Credentials;
      expect((await server.api.get("/v1/groups/team", cem.token)).body.members).toEqual([
        { user: "cem", role: "admin" },
      ]);
    });
  });
});

describe("a repair that is killed while it mends", () => {
  test("leaves nothing at the path of the copy, and the next repair gives the same result as one that was not killed", async () => {
    const damaged = join(place.path, "killed");
    copyDirectory(made, damaged);
    lose(damaged, "@bob", "#team");
    const to = `${damaged}-whole`;
    const words = ["repair", "--data", damaged, "--to", to, "--json"];
    // The log that the repaired store begins with. What is copied has a later one. A repair may end before that is seen.
    const isMending = (): boolean => fs.existsSync(`${to}.unfinished/wal/0000000001.wal`);
    for (let isKilled = false; !isKilled;) {
      const started = start([BUN, MAIN, ...words]);
      await until("the copy is being mended", isMending);
      started.kill("SIGKILL");
      await started.exited;
      isKilled = !fs.existsSync(to);
      fs.rmSync(to, { recursive: true, force: true });
    }
    const again = await parley(...words);
    expect([again.status, again.stderr]).toEqual([0, ""]);
    const { notes } = JSON.parse(again.stdout) as { notes: MendNote[] };
    const { notes: undisturbed } = await repaired("undisturbed", (at) => lose(at, "@bob", "#team"));
    expect(notes).toEqual(undisturbed);
    expect((await parley("verify", "--data", to)).status).toBe(0);
  });
});

describe("parley reset-password", () => {
  test("sets the given password, logs out all devices, and prints no password", async () => {
    const data = join(place.path, "reset");
    copyDirectory(made, data);
    const env = personsEnvironment({ PARLEY_PASSWORD: "one of my own" });
    const { status, stdout } = await run([BUN, MAIN, "reset-password", "--data", data, "--user", "ann"], { env });
    expect([status, stdout]).toEqual([0, "@ann: the password is set; logged out everywhere\n"]);
    await served(data, async () => {
      expect((await server.api.get("/v1/conversations", people["ann"]!.token)).status).toBe(401);
      expect((await login("ann", PASSWORD)).status).toBe(401);
      expect((await login("ann", "one of my own")).status).toBe(200);
    });
  });

  test("changes nothing without a user, for one who is not there, and while a server has the directory", async () => {
    const data = join(place.path, "reset-nobody");
    copyDirectory(made, data);
    expect((await parley("reset-password", "--data", data)).status).toBe(EXIT_STATUS.usage);
    const nobody = await parley("reset-password", "--data", data, "--user", "zoe");
    expect(nobody).toMatchObject({ status: EXIT_STATUS.failed, stderr: expect.stringContaining("no user @zoe") });
    await served(made, async () => {
      const taken = await parley("reset-password", "--data", server.dataDirectory, "--user", "ann");
      expect(taken.status).toBe(EXIT_STATUS.dataLocked);
    });
  });
});
