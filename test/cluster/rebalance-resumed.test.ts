/** `parley rebalance apply` is killed, and a node goes away: the plan is finished all the same. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { NodeId } from "../../src/cluster/map/partition-map.ts";
import type { PlanFile } from "../../src/cli/cluster/plan-file.ts";
import { BUN, MAIN } from "../cli/processes.ts";
import { parley, parleyJson } from "../support/cluster/parley-command.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";
import { until } from "../support/wait.ts";

const FEW = 6;
let cluster: TestCluster;
let path: string;
let common: string[];

beforeAll(async () => {
  cluster = await startTestCluster(3, 0, {}, {}, undefined, (map) => {
    const owners = map.owners.map((_, at) => (at < 497 ? "n1" : at < 1000 - FEW ? "n2" : "n3") as NodeId);
    return { ...map, owners, founders: owners };
  });
  path = join(cluster.root, "plan.json");
  common = [path, "--secret-file", cluster.secretFile];
});
afterAll(() => cluster.end());

const steps = () => (JSON.parse(readFileSync(path, "utf8")) as PlanFile).steps;

test("apply goes on where it was after kill -9, and after a target was away for longer than it waits", async () => {
  const wish = ["--drain", "n3", "--by", "count", "-o", path];
  await parleyJson("rebalance", "plan", "--map", cluster.mapFile, "--secret-file", cluster.secretFile, ...wish);
  const child = Bun.spawn([BUN, MAIN, "rebalance", "apply", ...common, "--at-once", "1"], {
    stdout: "ignore",
    stderr: "ignore",
  });
  await until("a shard has moved", () => steps().some(({ state }) => state === "moved"));
  const locked = await parley("rebalance", "apply", ...common);
  expect(locked.stderr).toContain("is being worked on by another parley rebalance");
  expect(locked.status).toBe(12);
  child.kill(9);
  await child.exited;
  expect(steps().some(({ state }) => state !== "moved")).toBeTrue();

  await cluster.stop("n2");
  const failed = await parley("rebalance", "apply", ...common, "--patience", "1");
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain(`of ${FEW} shards could not be moved`);
  expect(failed.stderr).toContain("does not answer");
  expect(failed.stderr).toContain("run parley rebalance apply");
  expect(steps().filter(({ to, state }) => to === "n1" && state !== "moved")).toEqual([]);
  await cluster.start("n2");

  expect(await parleyJson("rebalance", "apply", ...common)).toMatchObject({ phase: "applied", mapVersion: 2 });
  expect(await parleyJson("rebalance", "verify", ...common)).toMatchObject({ rightly: FEW, servedOnce: 1000 });
  const counts = [{ state: "moved", shards: FEW }];
  expect(await parleyJson("rebalance", "status", path)).toMatchObject({ phase: "applied", counts, failed: [] });
  // What is done is not done again.
  expect(await parleyJson("rebalance", "apply", ...common)).toMatchObject({ phase: "applied", mapVersion: 2 });
});

test("shards that come back to a node that had them are whole, after restarts of all nodes in between", async () => {
  const restart = async (): Promise<void> => {
    for (const id of cluster.ids) await cluster.stop(id);
    for (const id of cluster.ids) await cluster.start(id);
  };
  await restart();
  await parleyJson("rebalance", "undo", ...common);
  await restart();
  const again = join(cluster.root, "again.json");
  const secret = ["--secret-file", cluster.secretFile];
  const wish = ["--drain", "n3", "--by", "count", "-o", again];
  await parleyJson("rebalance", "plan", "--map", cluster.mapFile, ...secret, ...wish);
  const read = () => JSON.parse(readFileSync(again, "utf8")) as PlanFile;
  const before = read().map;
  await parleyJson("rebalance", "apply", again, ...secret);
  await restart();
  // As if apply had been killed right after the nodes took the new map: undo brings that to all of them first.
  const applied = read();
  writeFileSync(again, JSON.stringify({ ...applied, phase: "applying", map: before, next: applied.map }));
  expect(await parleyJson("rebalance", "undo", again, ...secret)).toMatchObject({ phase: "undone", mapVersion: 5 });
  expect(await parleyJson("rebalance", "verify", again, ...secret)).toMatchObject({ rightly: FEW, servedOnce: 1000 });
});
