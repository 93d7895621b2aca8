import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { ParleyClient } from "../../src/client/client.ts";
import type { WireMessage } from "../../src/protocol/frames.ts";
import { ScriptedServer } from "./scripted-server.ts";
import { randomFrom } from "../support/random.ts";
import { SEED, seeded } from "../support/seed.ts";
import { WAIT_MS } from "../support/wait.ts";

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("post" as const), to: fc.constantFrom("@bob", "#a", "#b") }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant("send" as const), to: fc.constantFrom("@bob", "#a") }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const), code: fc.constantFrom(4000, 4001, 1011) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("cutSoon" as const),
      frames: fc.array(fc.nat(6), { minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "loseSent" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("sockets" as const), refused: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ do: "join" as const }) },
  { weight: 2, arbitrary: fc.constant({ do: "failOnce" as const }) },
  { weight: 6, arbitrary: fc.constant({ do: "breathe" as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

type Setup = { transport: "auto" | "socket" | "poll"; isSlow: boolean; resumeEntriesMax: number };
const setup: fc.Arbitrary<Setup> = fc.record({
  transport: fc.constantFrom("auto" as const, "auto" as const, "socket" as const, "poll" as const),
  isSlow: fc.boolean(),
  resumeEntriesMax: fc.constantFrom(2, 1000),
});

async function run(steps: readonly Step[], { transport, isSlow, resumeEntriesMax }: Setup): Promise<void> {
  const server = new ScriptedServer();
  server.resumeEntriesMax = resumeEntriesMax;
  server.join("#a");
  const taken: WireMessage[] = [];
  let failures = 0;
  const take = (message: WireMessage): void => {
    if (failures > 0) {
      failures--;
      throw new Error("not now");
    }
    taken.push(message);
  };
  const client = new ParleyClient({
    url: server.url,
    token: "good",
    from: "start",
    transport,
    backoffBaseMs: 1,
    backoffMaxMs: 4,
    socketRetryMs: 3,
    sendWindow: 3,
    receivedIntervalMs: 2,
    random: randomFrom(SEED),
    onMessage: (message) => (isSlow ? Bun.sleep(0).then(() => take(message)) : take(message)),
  });
  const connecting = client.connect();
  const sending: Promise<unknown>[] = [];
  try {
    for (const each of steps) {
      switch (each.do) {
        case "post":
          if (each.to === "@bob" || server.groups.has(each.to)) server.post(each.to, `by bob ${taken.length}`);
          break;
        case "send":
          sending.push(client.send({ to: each.to, text: `own ${sending.length}` }));
          break;
        case "cut":
          server.cutAll(each.code);
          break;
        case "cutSoon":
          server.framesPerConnection = [...each.frames, Number.POSITIVE_INFINITY];
          break;
        case "loseSent":
          server.losesSent++;
          break;
        case "sockets":
          server.refusesUpgrade = each.refused && transport !== "socket";
          break;
        case "join":
          if (!server.groups.has("#b")) server.join("#b", true);
          break;
        case "failOnce":
          failures++;
          break;
        case "breathe":
          await Bun.sleep(1);
      }
    }
    await Promise.all([connecting, ...sending]);
    await until(
      // Its position is on a message while the application still handles it.
      () => hasAll(client, server) && taken.length >= ofBob(server),
      () => `${JSON.stringify(client.cursor())} is not all there is`,
    );
    check(server, taken, sending.length);
  } finally {
    await client.close();
    await server.stop();
  }
}

async function until(claim: () => boolean, complaint: () => string): Promise<void> {
  const end = performance.now() + WAIT_MS;
  while (!claim()) {
    if (performance.now() > end) throw new Error(complaint());
    await Bun.sleep(1);
  }
}

function hasAll(client: ParleyClient, server: ScriptedServer): boolean {
  const cursor = client.cursor();
  if (cursor?.timeline !== server.timeline.length || client.state !== "live") return false;
  return [...server.groups].every(([name, { log }]) => cursor.groups[name]?.seq === log.length);
}

function ofBob(server: ScriptedServer): number {
  const logs = [server.timeline, ...[...server.groups.values()].map(({ log }) => log)];
  return logs.flat().filter((entry) => entry.t === "message" && entry.from === "bob").length;
}

function check(server: ScriptedServer, taken: readonly WireMessage[], sends: number): void {
  const logs = new Map([
    ["@bob", server.timeline],
    ...[...server.groups].map(([name, { log }]) => [name, log] as const),
  ]);
  const own: string[] = [];
  for (const [conversation, log] of logs) {
    const messages = log.filter((entry) => entry.t === "message");
    const others = messages.filter((message) => message.from === "bob").map(({ seq }) => seq);
    expect(taken.filter((message) => message.conversation === conversation).map(({ seq }) => seq)).toEqual(others);
    const ownHere = messages.filter((message) => message.from === "me").map(({ text }) => text ?? "");
    expect(ownHere).toEqual(ownHere.toSorted((a, b) => Number(a.slice(4)) - Number(b.slice(4))));
    own.push(...ownHere);
  }
  expect(new Set(own).size).toBe(sends);
  expect(own).toHaveLength(sends);
}

test(`over real connections that break, everything arrives once and in order, both ways`, async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), setup, run), {
    ...seeded(60),
    endOnFailure: true,
  });
});
