/** The scripts that plan past one machine: what they compute, what they refuse, and that a seed repeats a year. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { capacityOf, type CapacityInput } from "../../scripts/cluster/capacity-model.ts";
import { yearOfPlans } from "../../scripts/cluster/year-of-plans.ts";
import { SHARD_COUNT } from "../../storage/types.ts";
import { BUN, ROOT, run } from "../cli/processes.ts";
import { SEED } from "../support/seed.ts";

const script = (name: string, ...args: string[]) => run([BUN, join(ROOT, `scripts/${name}.ts`), ...args]);

const INPUT: CapacityInput = {
  people: 1_000_000,
  messages: 86.4,
  bytes: 100,
  copies: 3,
  years: 2,
  sockets: 50_000,
  online: 50,
  peak: 4,
  cpuUs: 50,
  clusterCpu: 2,
  diskRatio: 0.5,
  frameBytes: 300,
  socketKib: 10,
  userKib: 5,
  cores: 2,
  busy: 50,
  diskTb: 1,
};

test("capacity multiplies what it is given", () => {
  const result = capacityOf(INPUT);
  expect(result.messagesPerSecond).toEqual({ average: 1000, peak: 4000 });
  // 86.4 million messages a day, 730 days, 50 bytes each.
  expect(result.storageBytes.oneCopy).toBe(86_400_000 * 730 * 50);
  expect(result.bandwidthBitsAtPeak).toEqual({ clients: 4000 * 500 * 8, betweenNodes: 4000 * 700 * 8 });
  expect(result.needs).toEqual([
    { what: "CPU", nodes: 1 },
    { what: "disk", nodes: 10 },
    { what: "sockets", nodes: 10 },
  ]);
  expect([result.owners, result.edges, result.nodes]).toEqual([10, 0, 10]);
  expect(result.memoryBytesPerNode).toBe((50_000 * 10 + 100_000 * 5) * 1024);
});

test("capacity says what limits first", () => {
  const limit = (change: Partial<CapacityInput>): string => capacityOf({ ...INPUT, ...change }).limitsFirst;
  expect(limit({ sockets: 1000 })).toStartWith("sockets");
  expect(limit({ years: 20 })).toStartWith("disk");
  expect(limit({ cpuUs: 20_000 })).toStartWith("CPU");
  expect(limit({ years: 2000 })).toContain("there are 1000 shards");
  expect(limit({ people: 1e9, cpuUs: 1000, diskTb: 1e6 })).toContain("one thread serves it");
  expect(limit({ sockets: 1 })).toContain("the map");
});

test("the scripts print a table or JSON, and refuse a bad option with status 2", async () => {
  const json = await script("capacity", "--people", "1000", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({ input: { people: 1000, messages: 40 }, messagesPerDay: 40_000 });
  expect((await script("capacity")).stdout).toContain("limits first");
  for (const name of ["capacity", "plan-at-scale", "map", "rebalance"]) {
    const bad = await script(name, "--peple", "3");
    expect([name, bad.status]).toEqual([name, 2]);
    expect((await script(name, "--help")).stdout).toContain("Usage: ");
  }
  const year = await script("plan-at-scale", "--nodes", "5", "--days", "40", "--json");
  expect(JSON.parse(year.stdout)).toMatchObject({ nodes: 5, by: "both", days: 40 });
});

test("a year of plans: a seed repeats it, and each plan comes near the best balance with hardly more than the least", () => {
  const options = { nodes: 12, days: 120, seed: SEED, by: "both", tolerance: 0.02 } as const;
  const plans = yearOfPlans(options);
  expect(yearOfPlans(options)).toEqual(plans);
  expect(plans.length).toBeGreaterThan(3);
  for (const { fullest, indivisible, moved, least, nodes } of plans) {
    expect(fullest).toBeLessThan(Math.max(1, indivisible) * 1.25);
    // By both, all loads together are two for each shard. A heavy shard may displace others on its new node.
    const heaviest = (indivisible * 2 * SHARD_COUNT) / nodes;
    expect(moved).toBeLessThan(least * 1.05 + heaviest * 4);
  }
  const sum = (of: "moved" | "least"): number => plans.reduce((all, plan) => all + plan[of], 0);
  expect(sum("moved") / sum("least")).toBeLessThan(1.3);
});
