/**
 * Clients of the SDK that go straight to their homes, while their shards move back and forth and a node is started
 * again.
 */
import { expect, test } from "bun:test";
import { HistoryRecorder } from "../../scripts/history/recorder.ts";
import { recordedClient } from "../../scripts/history/recorded-client.ts";
import { ParleyClient } from "../../src/client/client.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { check, textSink } from "../history/histories.ts";
import { Api } from "../support/api.ts";
import { move, nameAt, shardOfGroup, shardOfUser } from "../support/cluster/moving.ts";
import { startTestCluster, type TestCluster } from "../support/cluster/test-cluster.ts";
import { until, within } from "../support/wait.ts";

const MOVES = 10;
const SENDS_UNDER_WAY = 12;

/** The map says of the second node alone that clients reach it, so `bye` names it and leaves out the first. */
const startCluster = (): Promise<TestCluster> =>
  startTestCluster(2, 1, { sendRate: 100_000, sendBurst: 100_000 }, {}, (node) => node === "n2");

test("nothing is lost, doubled or out of order while the shards of direct clients move back and forth", async () => {
  const cluster = await startCluster();
  const api = new Api(cluster.url("edge1"), cluster.apiKey);
  const sink = textSink();
  const recorder = new HistoryRecorder(sink, { isComplete: true });
  const clients: ParleyClient[] = [];
  try {
    const users = await api.users(...[nameAt(1, "ann"), nameAt(1, "ben"), nameAt(2, "cleo")]);
    const club = nameAt(1, "club", "#");
    await api.group(
      users[0]!,
      club,
      users.map(({ user }) => user),
    );
    clients.push(...users.map((who) => directClient(cluster, who, recorder)));
    await Promise.all(clients.map((one) => one.connect()));
    const talk = talking(clients, [...users.map(({ user }) => `@${user}`), `#${club}`]);
    const shards = [shardOfUser(users[0]!.user), shardOfGroup(club)];
    for (let n = 0; n < MOVES; n++) {
      const [from, to] = n % 2 === 0 ? (["n1", "n2"] as const) : (["n2", "n1"] as const);
      const before = talk.acked;
      for (const shard of shards) await move(cluster, shard, from, to);
      if (n === MOVES / 2) await cluster.stop("n2");
      if (n === MOVES / 2) await cluster.start("n2");
      await until("everybody is served again", () => talk.acked > before + 2 * SENDS_UNDER_WAY);
    }
    expect(await within("all sends to be answered", talk.end())).toBeGreaterThan(MOVES * SENDS_UNDER_WAY);
    for (const [at, one] of clients.entries())
      await until(`${users[at]!.user} has everything`, () => hasAll(api, users[at]!, one));
    recorder.end(true);
  } finally {
    await Promise.all(clients.map((one) => one.close()));
    await cluster.end();
  }
  const report = await check(sink.text());
  expect(report.violations).toEqual([]);
  expect(report).toMatchObject({ found: 0, settled: true });
}, 60_000);

function directClient(cluster: TestCluster, who: Credentials, recorder: HistoryRecorder): ParleyClient {
  return new ParleyClient({
    ...{ url: cluster.ids.map((id) => cluster.url(id)), direct: true, token: who.token, from: "start" },
    ...{ backoffBaseMs: 5, backoffMaxMs: 50, receivedIntervalMs: 5 },
    ...recordedClient(recorder, who),
  });
}

/** Everybody sends to everybody, a bounded number at a time, until the end. */
function talking(clients: readonly ParleyClient[], addresses: readonly string[]) {
  let isOver = false;
  let acked = 0;
  let failed: Error | undefined;
  const loops = Array.from({ length: SENDS_UNDER_WAY }, async (_, at) => {
    const client = clients[at % clients.length]!;
    for (let n = 0; !isOver; n++) {
      await client.send({ to: addresses[(at + n) % addresses.length]!, text: `text ${at} ${n}` });
      acked++;
      await Bun.sleep(5);
    }
  }).map((loop) => loop.catch((error: unknown) => (failed ??= new Error("a send failed", { cause: error }))));
  return {
    get acked() {
      if (failed !== undefined) throw failed;
      return acked;
    },
    async end(): Promise<number> {
      isOver = true;
      await Promise.all(loops);
      return this.acked;
    },
  };
}

async function hasAll(api: Api, who: Credentials, client: ParleyClient): Promise<boolean> {
  const { status, body } = await api.post("/v1/sync", who.token, { cursor: client.cursor() });
  return status === 200 && body.frames.every(({ t }: { t: string }) => t === "receipt");
}
