/** Connections that were closed, whose clients stay. The kernel is asked what is really there, so on Linux. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Clock } from "../../src/base/clock.ts";
import type { ServeOptions } from "../../src/cli/serve-options.ts";
import { CLOSED_LOOK_EVERY_MS } from "../../src/node/closed-sockets.ts";
import { kernelSockets, type KernelSockets } from "../../src/node/kernel-sockets.ts";
import { CLOSE } from "../../src/protocol/codes.ts";
import { hurriedClock } from "../support/hurried-clock.ts";
import { lonelySession } from "../support/lonely-session.ts";
import { RawUpgrade } from "../support/raw-upgrade.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

/** Long before the runtime ends a closed connection by itself, which takes 16 s. */
const SOON_MS = 8000;
const DESCRIPTORS = 4096;

let node: TestNode;
let kernel: KernelSockets;
let clients: RawUpgrade[];
beforeEach(() => {
  kernel = kernelSockets()!;
  clients = [];
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  kernel.close();
  await node.stop();
});

/** Nobody looks for closed connections until the test says so, however slow this machine is. */
let letThemGo: () => void;

const start = async (options: Partial<ServeOptions> = {}): Promise<void> => {
  const held: (() => void)[] = [];
  let isHeld = true;
  const after: Clock["after"] = (ms, run) => {
    if (ms !== CLOSED_LOOK_EVERY_MS || !isHeld) return hurriedClock.after(ms, run);
    held.push(run);
    return () => {};
  };
  letThemGo = () => {
    isHeld = false;
    for (const run of held) run();
  };
  node = await startTestNode(options, { clock: { ...hurriedClock, after } });
};

async function upgraded(): Promise<RawUpgrade> {
  const client = new RawUpgrade(node.port);
  clients.push(client);
  await client.answer();
  return client;
}

/** The other ends of all connections to the server that this process has a descriptor of. */
function peersHeld(): Set<string> {
  const peers = new Set<string>();
  for (let descriptor = 0; descriptor < DESCRIPTORS; descriptor++) {
    const socket = kernel.at(descriptor, node.port);
    if (socket !== undefined) peers.add(socket.peer);
  }
  return peers;
}

const isHeld = ({ peer }: RawUpgrade): boolean => peersHeld().has(peer);

/** What the kernel keeps of a connection, also of one without a descriptor: how many bytes it goes on offering. */
function bytesOffered(client: RawUpgrade): number {
  const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0");
  const line = new RegExp(`:${hex(node.port)} \\w+:${hex(Number(client.peer.split(" ")[1]))} \\w+ (\\w+):`);
  return Number.parseInt(line.exec(readFileSync("/proc/net/tcp", "utf8"))?.[1] ?? "0", 16);
}

describe("connections:", () => {
  test("a closed one counts until it is gone, and is ended a second after its client's system has the close", async () => {
    await start({ connectionsMax: 1 });
    const client = await upgraded();
    client.sayNonsense();
    await until("it is told why", () => client.came.includes("4501"));
    expect(isHeld(client)).toBe(true);
    expect(await (await upgraded()).answer()).toBe(503);
    letThemGo();
    await until("it is gone", () => !isHeld(client), SOON_MS);
    await until("there is room", async () => (await (await upgraded()).answer()) === 101);
  });

  test("one whose client said the close and stays is ended, too", async () => {
    await start({ addressConnectionsMax: 1 });
    const client = await upgraded();
    client.sayClose(1000);
    await until("the close is answered", () => client.came.includes("\u0088"));
    expect(isHeld(client)).toBe(true);
    expect(await (await upgraded()).answer()).toBe(429);
    letThemGo();
    await until("it is gone", () => !isHeld(client), SOON_MS);
  });

  test("one whose client reads nothing is ended, and what it has not read is not kept", async () => {
    await start({ sendRate: 100_000, sendBurst: 100_000 });
    const [ann, ben] = await node.api.users("ann", "ben");
    const client = await upgraded();
    client.say({ t: "hello", token: ann!.token });
    await until("it is welcome", () => client.came.includes("welcome"));
    client.pause();
    const device = await node.connect(ben!);
    const text = "x".repeat(16_000);
    await until("more waits than may", async () => {
      for (let n = 0; n < 50; n++) device.post("@ann", text);
      await device.takeMany("sent", 50);
      return bytesOffered(client) > 1 << 20;
    });
    letThemGo();
    await node.api.call("POST", "/v1/logout", ann!.token);
    await until("it is gone", () => !isHeld(client), SOON_MS);
    await until("the kernel keeps nothing", () => bytesOffered(client) === 0, SOON_MS);
  });

  test("a client that is closed again and again, and stays, holds no more descriptors than its address may", async () => {
    const MOST = 4;
    await start({ addressConnectionsMax: MOST });
    let [most, times] = [0, 0];
    /** @returns the status */
    const again = async (): Promise<number> => {
      const client = await upgraded();
      const status = await client.answer();
      if (status === 101) times++;
      client.sayNonsense();
      const held = peersHeld();
      const isUpgraded = ({ came, peer }: RawUpgrade): boolean => held.has(peer) && came.startsWith("HTTP/1.1 101");
      most = Math.max(most, clients.filter(isUpgraded).length);
      return status;
    };
    await until("it is refused", async () => (await again()) === 429);
    expect([times, most]).toEqual([MOST, MOST]);
    letThemGo();
    await until("it came back often", async () => {
      await again();
      return times === 5 * MOST;
    });
    expect(most).toBe(MOST);
  });

  test("one that has not said hello counts as such until it is gone", async () => {
    const MOST = 512;
    await start();
    const strangers = await Promise.all(Array.from({ length: MOST }, () => upgraded()));
    for (const stranger of strangers) stranger.sayNonsense();
    await until("all are closed", () => strangers.every(({ came }) => came.includes("4501")));
    const held = peersHeld();
    expect(strangers.every(({ peer }) => held.has(peer))).toBe(true);
    expect(await (await upgraded()).answer()).toBe(429);
    letThemGo();
    await until("there is room", async () => (await (await upgraded()).answer()) === 101);
  });
});

describe("memory:", () => {
  test("sockets of a user count until they are gone", async () => {
    await start();
    const [ann] = await node.api.users("ann");
    const connected = async (): Promise<RawUpgrade> => {
      const client = await upgraded();
      client.say({ t: "hello", token: ann!.token });
      await until("it is answered", () => client.came.includes(`"t":"`));
      return client;
    };
    for (let times = 0; times < 2; times++) {
      const open = await Promise.all(Array.from({ length: 128 }, connected));
      expect(open.every(({ came }) => came.includes("welcome"))).toBe(true);
      for (const client of open) client.sayClose(1000);
      await until("all are closed", () => open.every(({ came }) => came.includes("\u0088")));
    }
    expect((await connected()).came).toContain("4003");
  });
});

describe("memory:", () => {
  test("what waits in a closed connection counts until it is gone", () => {
    const { waiting, session } = lonelySession(700);
    session.close(CLOSE.tooSlow, "slow");
    expect(waiting.total).toBe(700);
    session.gone();
    expect(waiting.total).toBe(0);
  });

  test("so does what waits in one that its client closed", () => {
    const { waiting, socket, session } = lonelySession(700);
    session.drained();
    socket.close();
    expect(waiting.total).toBe(700);
    session.gone();
    expect(waiting.total).toBe(0);
  });

  test("a connection that has to give way goes at once, an open one and a closed one", () => {
    const open = lonelySession(1001);
    open.session.drained();
    expect([open.socket.isTerminated, open.waiting.total]).toEqual([true, 0]);
    const closed = lonelySession(700);
    closed.session.close(CLOSE.tooSlow, "slow");
    closed.waiting.set({ share: undefined, heldBytes: 0, release: () => {} }, 600);
    expect([closed.session.lingerMs, closed.waiting.total]).toEqual([0, 600]);
  });
});
