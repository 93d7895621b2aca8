/**
 * People talk through an edge while shards move back and forth and nodes are started again; the checker decides.
 *
 * Direct messages only. `GROUPS=1` has groups as well, in which two things are found now and then: a device gets `sent`
 * of its post behind the post itself, and a sync ends a group's log before what a page had shown.
 */
import { expect, test } from "bun:test";
import type { NodeStatus } from "../../src/node/cluster/admin.ts";
import { groupAddress, shardOf, userAddress, type GroupId, type UserId } from "../../src/domain/address.ts";
import type { ShardId } from "../../storage/types.ts";
import { Api } from "../support/api.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";
import { randomFrom, type Random } from "../support/random.ts";
import { SEED } from "../support/seed.ts";
import { SettlingRouter } from "../support/cluster/settling-router.ts";
import { until } from "../support/wait.ts";
import { check, textSink } from "../history/histories.ts";
import { GROUPS, Talk } from "../history/talk.ts";

const GROUPS_HERE = process.env["GROUPS"] === undefined ? [] : GROUPS;
const STEPS = 600;
const MOVES = 12;
const OWNING = 3;
/** An offer that found nobody is repeated after half a minute at most. */
const SETTLE_MS = 40_000;
const RATE = 100_000_000;

/** The shards of everybody who talks, and of their groups. */
const SHARDS: readonly ShardId[] = [
  ...[0, 1, 2, 3, 4, 5].map((n) => shardOf(userAddress(`user${n}` as UserId))),
  ...GROUPS.map((group) => shardOf(groupAddress(group.slice(1) as GroupId))),
];

test("nothing is lost, doubled or out of order while shards move and nodes are started again", async () => {
  const router = new SettlingRouter();
  const options = { sendRate: 10_000, sendBurst: 10_000 };
  const cluster = await startTestCluster(OWNING, 1, options, { router: router.around });
  const url = cluster.url("edge1");
  const random = randomFrom(SEED);
  const sink = textSink();
  const talk = new Talk({ url, api: new Api(url, cluster.apiKey) }, random, sink, { seed: SEED }, GROUPS_HERE);
  const moves = movesOf(cluster, random);
  try {
    await talk.begin();
    const every = Math.floor(STEPS / MOVES);
    for (let step = 0; step < STEPS; step++) {
      await talk.step();
      if (step % every === 0) await moves.begin();
      if (step === STEPS / 2) await startAgain(cluster, `n${1 + Math.floor(random() * OWNING)}`);
    }
    await moves.end();
    await until("nothing is owed", () => router.isSettled, SETTLE_MS);
    await talk.end();
  } catch (error) {
    for (const id of cluster.ids) {
      const { moves, unserved, moved, links } = await cluster.admin.call<NodeStatus>(cluster.url(id), "GET", "status");
      console.error(
        id,
        JSON.stringify({ unserved, links, moved, moves: moves.filter(({ state }) => state !== "done") }),
      );
    }
    throw error;
  } finally {
    await talk.close();
    await cluster.end();
  }
  const report = await check(sink.text());
  if (report.found > 0) await Bun.write(`${process.env["TMPDIR"] ?? "/tmp"}/parley-history-${SEED}.jsonl`, sink.text());
  expect(report.violations).toEqual([]);
  expect(report).toMatchObject({ found: 0, settled: true });
  expect(moves.done).toBeGreaterThan(0);
}, 120_000);

async function startAgain(cluster: TestCluster, node: string): Promise<void> {
  await cluster.stop(node);
  await cluster.start(node);
}

type Moving = { readonly done: number; begin(): Promise<void>; end(): Promise<void> };

/** Moves shards to other nodes, some at once. One that fails is left: the shard is where it was, or on its way. */
function movesOf(cluster: TestCluster, random: Random): Moving {
  let done = 0;
  const under: Promise<void>[] = [];
  const statusOf = (node: string): Promise<NodeStatus> => cluster.admin.call(cluster.url(node), "GET", "status");
  const ownerOf = async (shard: ShardId): Promise<string> => {
    const { body } = await new Api(cluster.url("edge1"), "").call(
      "GET",
      `/v1/route/${encodeURIComponent(addressIn(shard))}`,
    );
    return (body as { node: string }).node;
  };
  const move = async (shard: ShardId): Promise<void> => {
    const from = await ownerOf(shard);
    const others = Array.from({ length: OWNING }, (_, at) => `n${at + 1}`).filter((node) => node !== from);
    const to = others[Math.floor(random() * others.length)]!;
    await cluster.admin.call(cluster.url(to), "POST", "moves", { shard, from, rate: RATE });
    await until(`shard ${shard} moved or did not`, async () => {
      const report = (await statusOf(to)).moves.find((one) => one.shard === shard);
      if (report?.state === "done") done++;
      return report === undefined || report.state === "done" || report.state === "failed";
    });
  };
  return {
    get done() {
      return done;
    },
    async begin() {
      under.push(move(SHARDS[Math.floor(random() * SHARDS.length)]!).catch(() => {}));
    },
    end: async () => void (await Promise.all(under)),
  };
}

const addressIn = (shard: ShardId): string =>
  [...[0, 1, 2, 3, 4, 5].map((n) => userAddress(`user${n}` as UserId)), ...GROUPS].find(
    (address) => shardOf(address as never) === shard,
  )!;
