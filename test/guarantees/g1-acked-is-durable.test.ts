import { expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { Device } from "../support/device.ts";
import { comes, hasFaults } from "../support/settled-faults.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";
import { randomFrom } from "../support/random.ts";
import { SEED } from "../support/seed.ts";

/** Over a faulty router each start costs time, and they are one of many runs. */
const KILLS = hasFaults() ? 6 : 20;

/** Keeps a few sends on their way until the socket is gone, noting what was acked. */
async function sendUntilKilled(device: Device, to: string[], acked: Map<string, string>, round: number): Promise<void> {
  const pump = async (lane: number) => {
    for (let n = 0; ; n++) {
      const text = `round ${round} lane ${lane} message ${n}`;
      const sent = await device.say(to[n % to.length]!, text, `r${round}-${lane}-${n}`);
      acked.set(sent.id, text);
    }
  };
  await Promise.allSettled([0, 1, 2, 3].map(pump));
}

async function stored(server: TestProcess, who: Credentials, addresses: string[]): Promise<Map<string, string>> {
  const pages = await Promise.all(addresses.map((address) => server.api.history(who, address)));
  return new Map(pages.flat().map(({ id, text }) => [id, text]));
}

test(`everything acked is there after each of ${KILLS} kills with -9 at any moment`, async () => {
  const server = await TestProcess.start("--send-burst", "100000");
  try {
    const [alice, bob] = await server.api.users("alice", "bob");
    await server.api.group(alice!, "hikers", ["bob"]);
    const addresses = ["@bob", "@alice", "#hikers"];
    const acked = new Map<string, string>();
    const random = randomFrom(SEED);
    for (let round = 0; round < KILLS; round++) {
      const device = await server.connect(alice!);
      const ackedBefore = acked.size;
      const sending = sendUntilKilled(device, addresses, acked, round);
      const wanted = 1 + Math.floor(random() * 40);
      await until("some were acked", () => acked.size - ackedBefore >= wanted);
      await server.kill();
      await sending;
      await server.start();
    }
    const atAlice = await stored(server, alice!, addresses);
    const sent = await stored(server, alice!, ["@bob", "#hikers"]);
    let atBob = new Map<string, string>();
    const readAtBob = async () => (atBob = await stored(server, bob!, ["@alice", "#hikers"]));
    await readAtBob();
    await comes("bob has all", async () => (await readAtBob()).size >= sent.size);
    const missing = [...acked].filter(([id, text]) => atAlice.get(id) !== text);
    expect(acked.size).toBeGreaterThan(KILLS);
    expect(missing).toEqual([]);
    for (const [id, text] of sent) expect(atBob.get(id)).toBe(text);
  } finally {
    await server.remove();
  }
});

test("a user, a login and a group that were answered are there after a kill", async () => {
  const server = await TestProcess.start();
  try {
    const registered = await server.api.call("POST", "/v1/register", undefined, {
      user: "alice",
      password: "correct horse",
    });
    expect(registered.status).toBe(201);
    await server.kill();
    await server.start();
    const login = { user: "alice", password: "correct horse" };
    const { status, body: phone } = await server.api.call("POST", "/v1/login", undefined, login);
    expect(status).toBe(200);
    await server.kill();
    await server.start();
    await server.api.group(phone, "hikers", []);
    expect((await server.api.call("POST", "/v1/logout", registered.body.token)).status).toBe(204);
    await server.kill();
    await server.start();
    expect((await server.api.get("/v1/groups/hikers", phone.token)).body.name).toBe("the hikers");
    expect((await server.api.get("/v1/groups/hikers", registered.body.token)).status).toBe(401);
  } finally {
    await server.remove();
  }
});
