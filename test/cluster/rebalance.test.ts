/** The commands of a cluster, end to end on nodes of this process: what they do, and what they refuse. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { shardOf, userAddress, type UserId } from "../../src/domain/address.ts";
import { readMap } from "../../src/cluster/map/map-file.ts";
import type { NodeId, PartitionMap } from "../../src/cluster/map/partition-map.ts";
import type { PlanFile } from "../../src/cli/cluster/plan-file.ts";
import { Api } from "../support/api.ts";
import { parley, parleyJson } from "../support/cluster/parley-command.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";
import { until } from "../support/wait.ts";

let cluster: TestCluster;
let api: Api;
let secret: string[];

/** The last shards are at n3, which is quickly drained. */
const FEW = 4;
const withFewAtN3 = (map: PartitionMap): PartitionMap => {
  const owners = map.owners.map((_, shard) => (shard < 498 ? "n1" : shard < 1000 - FEW ? "n2" : "n3") as NodeId);
  return { ...map, owners, founders: owners };
};

beforeAll(async () => {
  cluster = await startTestCluster(3, 1, {}, {}, undefined, withFewAtN3);
  api = new Api(cluster.url("edge1"), cluster.apiKey);
  secret = ["--secret-file", cluster.secretFile];
});
afterAll(() => cluster.end());

const file = (name: string): string => join(cluster.root, name);
const planOf = (name: string): PlanFile => JSON.parse(readFileSync(file(name), "utf8")) as PlanFile;
const nowhere = (path: string): boolean => !existsSync(path);
const plan = (name: string, ...wish: string[]) =>
  parleyJson<{ moves: number; bytes: number; steps: { shard: number; from: string; to: string }[] }>(
    ...["rebalance", "plan", "--map", cluster.mapFile, ...secret, "--by", "count", ...wish, "-o", file(name)],
  );

type Verified = { rightly: number; shards: number; servedOnce: number; servedTwice: number; problems: unknown[] };
const verify = (name: string) => parleyJson<Verified>("rebalance", "verify", file(name), ...secret);

/** A name of a user of the shards that are at n3. */
function nameAtN3(name: string): UserId {
  for (let at = 0; ; at++) {
    const user = `${name}${at}` as UserId;
    if (shardOf(userAddress(user)) >= 1000 - FEW) return user;
  }
}

test("drain, verify and undo: people find what they wrote, and the map steps each time", async () => {
  const [mia, ben] = await api.users(nameAtN3("mia"), "ben");
  const say = (text: string) => api.post("/v1/messages", mia!.token, { to: `@${ben!.user}`, text, ref: text });
  expect((await say("before")).status).toBe(201);
  const planned = await plan("drain.json", "--drain", "n3");
  expect(planned.moves).toBe(FEW);
  expect(planned.bytes).toBeGreaterThan(0);
  expect(planned.steps.every(({ from }) => from === "n3")).toBeTrue();
  expect((await verify("drain.json")).rightly).toBe(FEW);

  const applied = await parleyJson<{ phase: string; mapVersion: number; pauseMsMax: number }>(
    ...["rebalance", "apply", file("drain.json"), ...secret],
  );
  expect(applied).toMatchObject({ phase: "applied", mapVersion: 2 });
  expect(applied.pauseMsMax).toBeGreaterThan(0);
  expect(readMap(readFileSync(cluster.mapFile, "utf8")).owners).not.toContain("n3" as NodeId);
  expect(await verify("drain.json")).toMatchObject({ rightly: FEW, servedOnce: 1000, servedTwice: 0, problems: [] });
  // The drained node can be stopped without anyone noticing.
  await cluster.stop("n3");
  expect((await say("while n3 is away")).status).toBe(201);
  const refused = await parley("rebalance", "verify", file("drain.json"), ...secret);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toContain("n3: ");
  await cluster.start("n3");

  const undone = await parleyJson<{ phase: string; mapVersion: number }>(
    "rebalance",
    "undo",
    file("drain.json"),
    ...secret,
  );
  expect(undone).toMatchObject({ phase: "undone", mapVersion: 3 });
  expect(await verify("drain.json")).toMatchObject({ rightly: FEW, servedOnce: 1000, problems: [] });
  expect(readMap(readFileSync(cluster.mapFile, "utf8")).owners.filter((owner) => owner === "n3").length).toBe(FEW);
  expect((await api.history(mia!, `@${ben!.user}`)).map(({ text }) => text)).toEqual(["before", "while n3 is away"]);
  const again = await parley("rebalance", "apply", file("drain.json"), ...secret);
  expect(again.status).toBe(1);
  expect(again.stderr).toContain("is undone, so apply cannot begin; make a new plan");
});

test("a map shows owners as a table and as a picture, without colours and with them", async () => {
  const { stdout } = await parley("map", "show", cluster.mapFile);
  expect(stdout).toContain("C  n3");
  const cells = stdout
    .match(/^ *\d+ {2}([A-D*]+)$/gm)!
    .map((line) => line.trim().split("  ")[1]!)
    .join("");
  expect(cells).toBe("A".repeat(498) + "B".repeat(502 - FEW) + "C".repeat(FEW));
  expect((await parley("map", "show", cluster.mapFile, "--color", "always")).stdout).toContain("\x1b[38;5;33m");
  const live = await parleyJson<{ nodes: { node: string; count: number; bytes: number; answers: boolean }[] }>(
    ...["map", "show", "--url", cluster.url("n1"), ...secret],
  );
  expect(live.nodes.map(({ node, count, answers }) => [node, count, answers])).toEqual([
    ["n1", 498, true],
    ["n2", 502 - FEW, true],
    ["n3", FEW, true],
    ["edge1", 0, true],
  ]);
});

test("a node comes into the map and goes out of it, at all nodes", async () => {
  const before = readMap(readFileSync(cluster.mapFile, "utf8")).mapVersion;
  const has = async (id: string) =>
    readMap((await cluster.admin.call<{ map: string }>(cluster.url("n2"), "GET", "status")).map).nodes.has(
      id as NodeId,
    );
  await parleyJson("map", "add", "n9=127.0.0.1:1", "--map", cluster.mapFile, ...secret);
  await until("n2 knows n9", () => has("n9"));
  const twice = await parley("map", "add", "n9=127.0.0.1:2", "--map", cluster.mapFile, ...secret);
  expect(twice.stderr).toContain("the map has a node n9 already");
  const owning = await parley("map", "remove", "n1", "--map", cluster.mapFile, ...secret);
  expect(owning.stderr).toContain("n1 owns 498 shards; move them first: parley rebalance plan --drain n1");
  await parleyJson("map", "remove", "n9", "--map", cluster.mapFile, ...secret);
  await until("n2 knows n9 no longer", async () => !(await has("n9")));
  expect(readMap(readFileSync(cluster.mapFile, "utf8")).mapVersion).toBe(before + 2);
});

test("bad input is refused in its own words, and nothing is changed", async () => {
  const text = readFileSync(cluster.mapFile, "utf8");
  const map = JSON.parse(text) as {
    mapVersion: number;
    owners: Record<string, string>;
    nodes: object;
    cluster: string;
  };
  const written = (name: string, change: object): string => {
    writeFileSync(file(name), JSON.stringify({ ...map, ...change }));
    return file(name);
  };
  const planned = (...args: string[]) => ["rebalance", "plan", "--by", "count", ...args, "-o", file("never.json")];
  const ofMap = (path: string, ...wish: string[]) => planned("--map", path, ...secret, ...wish);
  writeFileSync(file("other-secret"), "another secret, of another cluster altogether");
  writeFileSync(file("twice.json"), text.replace('"edge1":', '"n1":'));
  await plan("outdated.json", "--drain", "n3");
  const outdated = { ...planOf("outdated.json"), map: { ...map, mapVersion: map.mapVersion - 1 } };
  writeFileSync(file("outdated.json"), JSON.stringify(outdated));
  const cases: [string[], number, string][] = [
    [
      ofMap(written("missing.json", { owners: { ...map.owners, n1: "0-496" } }), "--drain", "n3"),
      2,
      "shard 497 belongs to no node",
    ],
    [
      ofMap(written("both.json", { owners: { ...map.owners, n1: "0-498" } }), "--drain", "n3"),
      2,
      "shard 498 is n1's and n2's",
    ],
    [
      ofMap(written("who.json", { owners: { nobody: "0-999" } }), "--drain", "n3"),
      2,
      'names "nobody", which is not among "nodes"',
    ],
    [ofMap(file("twice.json"), "--drain", "n3"), 2, 'it names "n1" twice'],
    [
      ofMap(written("older.json", { mapVersion: map.mapVersion - 1 }), "--drain", "n3"),
      1,
      `map version ${map.mapVersion - 1}, and n`,
    ],
    [
      ofMap(written("newer.json", { mapVersion: map.mapVersion + 1 }), "--drain", "n3"),
      1,
      "bring it to the nodes with parley map send",
    ],
    [ofMap(written("foreign.json", { cluster: "other" }), "--drain", "n3"), 1, "belongs to the cluster test"],
    [["map", "send", written("old.json", { mapVersion: 1 }), ...secret], 1, "is an older map"],
    [
      [
        "map",
        "send",
        written("owner.json", { mapVersion: 99, owners: { n1: "0-999" }, terms: { 50: "0-999" } }),
        ...secret,
      ],
      1,
      "and n2 owns it",
    ],
    [
      planned("--map", cluster.mapFile, "--secret-file", file("other-secret"), "--drain", "n3"),
      1,
      "it was not signed with its secret",
    ],
    [
      ["rebalance", "apply", file("outdated.json"), ...secret],
      1,
      `was made for map version ${map.mapVersion - 1}, and`,
    ],
    [ofMap(cluster.mapFile), 2, "nothing is asked for; name nodes with --add, --drain or --weights"],
    [ofMap(cluster.mapFile, "--drain", "n1,n2,n3"), 2, "no node would be left to own shards"],
    [ofMap(cluster.mapFile, "--weights", "n1=x"), 2, '"n1=x" is not NAME=NUMBER'],
    [ofMap(cluster.mapFile, "--weights", "n1=1,n1=2"), 2, "n1 is named twice"],
    [["map", "init", "--nodes", "n1=h:1,n1=h:2", "-o", file("never.json")], 2, "n1 is named twice"],
    [["map", "init", "--nodes", "n1=h:1", "--edges", "n1=h:2", "-o", file("never.json")], 2, "n1 is named twice"],
    [["map", "init", "--nodes", "n1=h:1,n2=h:1", "-o", file("never.json")], 2, "n1 and n2 have the same url"],
    [["map", "init", "--nodes", "n1", "-o", file("never.json")], 2, '"n1" is not NAME=HOST:PORT'],
    [["map", "init", "--nodes", "n1=h", "-o", file("never.json")], 2, '"h" is not HOST:PORT'],
    [["map", "init", "--nodes", "n1=h:1", "-o", cluster.mapFile], 2, "is there already"],
    [["map", "show", file("nothing.json")], 2, "the map cannot be read"],
    [["map", "shwo"], 2, 'unknown command "shwo"; did you mean show?'],
    [["rebalance", "apply", cluster.mapFile, ...secret], 2, "it is no plan"],
    [["rebalance", "apply", file("outdated.json")], 2, "--secret-file FILE is missing"],
    [["rebalance", "undo", file("outdated.json"), ...secret], 1, "is planned, so undo cannot begin"],
  ];
  for (const [argv, status, words] of cases) {
    const ended = await parley(...argv);
    expect(ended.stderr).toContain(words);
    expect({ argv, status: ended.status }).toEqual({ argv, status });
  }
  expect(nowhere(file("never.json"))).toBeTrue();
  expect(readFileSync(cluster.mapFile, "utf8")).toBe(text);
  expect(planOf("outdated.json").phase).toBe("planned");
});
