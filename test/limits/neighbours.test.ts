/** Several people behind one address: what strangers do there keeps nobody out who can say who they are. */
import { afterEach, describe, expect, test } from "bun:test";
import type { ServeOptions } from "../../src/cli/serve-options.ts";
import { ParleyClient } from "../../src/client/client.ts";
import { UpgradeTokens } from "../../src/node/upgrade-tokens.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { Penalties } from "../../src/home/session/penalties.ts";
import { HandClock } from "../home/hand-clock.ts";
import { RawUpgrade } from "../support/raw-upgrade.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until, within } from "../support/wait.ts";

let node: TestNode | undefined;
let clients: RawUpgrade[] = [];
afterEach(async () => {
  for (const client of clients) client.destroy();
  clients = [];
  await node?.stop();
  node = undefined;
});

const start = async (options: Partial<ServeOptions> = {}): Promise<Credentials> => {
  node = await startTestNode(options);
  const [ann] = await node.api.users("ann");
  return ann!;
};

async function upgraded(...headers: string[]): Promise<RawUpgrade> {
  const client = new RawUpgrade(node!.port, headers);
  clients.push(client);
  await client.answer();
  return client;
}

/** Strangers flood, from an address that many share. */
async function floodUntilRefused(): Promise<void> {
  await until("the address is refused", async () => {
    const stranger = await upgraded();
    if ((await stranger.answer()) === 429) return true;
    stranger.ping(11_000);
    await until("it is closed for it", () => stranger.came.includes("4503"));
    return false;
  });
}

const shown = ({ token }: Credentials): string => `Sec-WebSocket-Protocol: parley, token.${token}`;

async function saysHello(client: RawUpgrade, { token }: Credentials): Promise<void> {
  client.say({ t: "hello", token });
  await until("it is welcome", () => client.came.includes(`"t":"welcome"`));
}

describe("connections:", () => {
  test("strangers who are closed for flooding do not keep out a neighbour who shows a token", async () => {
    const ann = await start();
    await floodUntilRefused();
    const client = await upgraded(shown(ann));
    expect(client.came).toMatch(/^HTTP\/1.1 101 [^]*\r\nSec-WebSocket-Protocol: parley\r\n/);
    await saysHello(client, ann);
    expect(await (await upgraded(`Authorization: Bearer ${ann.token}`)).answer()).toBe(101);
    expect(await (await upgraded()).answer()).toBe(429);
    const forged = `${ann.token.slice(0, -2)}${ann.token.endsWith("AA") ? "BB" : "AA"}`;
    expect(await (await upgraded(shown({ ...ann, token: forged }))).answer()).toBe(429);
  });

  test("silent strangers do not, either", async () => {
    const ann = await start();
    await Promise.all(Array.from({ length: 512 }, () => upgraded()));
    expect(await (await upgraded()).answer()).toBe(429);
    await saysHello(await upgraded(shown(ann)), ann);
  });

  test("nor do those who ask too fast", async () => {
    const ann = await start({ connectRate: 1 });
    await until("they are too fast", async () => (await (await upgraded()).answer()) === 429);
    await saysHello(await upgraded(shown(ann)), ann);
  });

  test("a client of the SDK gets in, though its first try is refused", async () => {
    const ann = await start();
    await floodUntilRefused();
    const client = new ParleyClient({ url: node!.url, token: ann.token, transport: "socket", backoffBaseMs: 10 });
    await within("it to be welcome", client.connect());
    await client.close();
  });
});

describe("tokens of upgrades:", () => {
  const setUp = () => {
    const clock = new HandClock();
    const penalties = new Penalties(clock);
    const tokens = { signedFor: (token: string) => (token.startsWith("ann") ? ("ann" as never) : undefined) };
    const shows = new UpgradeTokens(tokens, penalties, clock);
    const take = (token: string) => shows.spend(new Headers({ authorization: `Bearer ${token}` }));
    return { clock, penalties, take };
  };

  test("a token opens as many as its user may have twice, and then some a second, whichever token of theirs it is", () => {
    const { take, clock } = setUp();
    for (let n = 0; n < 256; n++) expect(take(`ann-${n}`)).toBeDefined();
    expect(take("ann-1")).toBeUndefined();
    clock.advance(1000);
    expect([1, 2, 3, 4, 5, 6].map(() => take("ann-1") !== undefined)).toEqual([true, true, true, true, true, false]);
  });

  test("one whose connections are closed for misbehaving opens fewer, and none while its token is punished", () => {
    const { take } = setUp();
    let opened = 0;
    for (let client = take("ann"); client !== undefined; client = take("ann")) {
      client.struck();
      opened++;
    }
    expect(opened).toBeLessThan(40);
    const other = setUp();
    other.penalties.add("ann");
    expect([other.take("ann"), other.take("ann-2") !== undefined]).toEqual([undefined, true]);
  });
});
