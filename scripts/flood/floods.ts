/**
 * The attacks, one at a time. `prepare` runs before anything is measured; `attack` runs until it is told to stop. An
 * attacker has one ordinary account, or none.
 */
import { callAs, makePerson, type Person } from "./people.ts";
import { connectOnce, frameOf, RawSocket, upgradeOnce, type RawSocketOptions } from "./raw-socket.ts";

export type FloodWorld = { url: URL; attacker: Person; apiKey: string };

/** @returns a summary for the table */
export type Attack = (world: FloodWorld, stopped: Promise<void>) => Promise<string>;

export type Flood = { name: string; prepare?: (world: FloodWorld) => Promise<void>; attack: Attack };

const NOBODY = 5000;
const TRIES_MAX = 200;
const PAUSE_MS = 250;

const helloOf = ({ token }: Person, cursor?: object): string => JSON.stringify({ t: "hello", token, cursor });

function repeated(frame: object | string): () => Buffer {
  const one = frameOf(typeof frame === "string" ? frame : JSON.stringify(frame));
  const many = Buffer.concat(Array.from({ length: Math.max(1, Math.floor(65_536 / one.length)) }, () => one));
  return () => many;
}

async function withSockets(
  { url }: FloodWorld,
  count: number,
  options: (index: number) => RawSocketOptions,
  stopped: Promise<void>,
): Promise<string> {
  const sockets = Array.from({ length: count }, (_, index) => new RawSocket(url, options(index)));
  await Promise.all(sockets.map((socket) => socket.connect()));
  await stopped;
  const bytes = sockets.reduce((sum, socket) => sum + socket.bytesSent, 0);
  const connections = sockets.reduce((sum, socket) => sum + socket.connections, 0);
  for (const socket of sockets) socket.end();
  return `${(bytes / 1e6).toFixed(1)} MB over ${connections} connections`;
}

/** Sends frames of one kind as fast as possible, over a number of the attacker's sockets. */
const frames =
  (count: number, frame: object | string): Attack =>
  (world, stopped) =>
    withSockets(
      world,
      count,
      () => ({ hello: helloOf(world.attacker), next: repeated(frame), isStubborn: true }),
      stopped,
    );

/** Makes connections in parallel lanes, one after the other, each closed as soon as it is made or answered. */
const connections =
  (lanes: number, once: (url: URL) => Promise<string>): Attack =>
  async ({ url }, stopped) => {
    let isStopped = false;
    const statuses = new Map<string, number>();
    const work = async (): Promise<void> => {
      while (!isStopped) {
        const status = await once(url);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
    };
    const workers = Array.from({ length: lanes }, work);
    await stopped;
    isStopped = true;
    await Promise.race([Promise.all(workers), Bun.sleep(2000)]);
    return tallyOf(statuses);
  };

const tallyOf = (statuses: Map<string, number>): string =>
  [...statuses].map(([status, count]) => `${count} × ${status}`).join(", ");

/** Makes HTTP calls, a number of them at a time. */
const calls =
  (concurrent: number, call: (world: FloodWorld, n: number) => Promise<Response>): Attack =>
  async (world, stopped) => {
    let isStopped = false;
    const statuses = new Map<string, number>();
    let made = 0;
    const work = async (): Promise<void> => {
      while (!isStopped) {
        const n = made++;
        const status = await call(world, n).then(
          async (answer) => {
            await answer.arrayBuffer();
            return String(answer.status);
          },
          () => "none",
        );
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        // A refusal costs the attacker nearly nothing; without this pause its process would block itself.
        if (status === "none") await Bun.sleep(1);
      }
    };
    const workers = Array.from({ length: concurrent }, work);
    await stopped;
    isStopped = true;
    await Promise.race([Promise.all(workers), Bun.sleep(2000)]);
    return tallyOf(statuses);
  };

async function inBatches(count: number, batch: number, work: (n: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += batch)
    await Promise.all(Array.from({ length: Math.min(batch, count - from) }, (_, n) => work(from + n)));
}

/** Preparation respects the limits: it waits when it is told to. */
async function mustBeOk(call: () => Promise<Response>, what: string): Promise<void> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const answer = await call();
    if (answer.ok) return;
    if (answer.status !== 429) throw new Error(`${what}: ${answer.status} ${await answer.text()}`);
    await Bun.sleep(PAUSE_MS);
  }
  throw new Error(`${what}: refused ${TRIES_MAX} times`);
}

/** Messages of many users that the attacker's devices have not received. */
async function manySenders(world: FloodWorld): Promise<void> {
  const { url, apiKey, attacker } = world;
  const senders: Person[] = [];
  await inBatches(600, 50, async (n) => void senders.push(await makePerson(url, apiKey, `sender-${n}`)));
  for (let round = 0; round < 5; round++) {
    await inBatches(senders.length, 50, (n) =>
      mustBeOk(
        () =>
          callAs(url, senders[n]!, "POST", "/v1/messages", { to: `@${attacker.user}`, text: "hi", ref: `r${round}` }),
        "a message to the attacker",
      ),
    );
  }
}

async function ownHistory({ url, attacker }: FloodWorld): Promise<void> {
  const text = "x".repeat(16_000);
  await inBatches(500, 25, (n) =>
    mustBeOk(
      () => callAs(url, attacker, "POST", "/v1/messages", { to: `@${attacker.user}`, text, ref: `notes-${n}` }),
      "a note",
    ),
  );
}

/** Groups full of characters that JSON escapes with six bytes. */
async function fatGroups({ url, attacker }: FloodWorld): Promise<void> {
  const text = "\u0001".repeat(10_900);
  for (let group = 0; group < 40; group++) {
    const id = `fat-${group}`;
    await mustBeOk(() => callAs(url, attacker, "POST", "/v1/groups", { id, name: id, members: [] }), "a group");
    for (let n = 0; n < 15; n++) {
      const body = { to: `#${id}`, text, ref: `${id}-${n}` };
      await mustBeOk(() => callAs(url, attacker, "POST", "/v1/messages", body), "a fat message");
    }
  }
}

async function manyGroups({ url, attacker }: FloodWorld): Promise<void> {
  for (let group = 0; group < 300; group++) {
    const make = () => callAs(url, attacker, "POST", "/v1/groups", { id: `many-${group}`, name: "many", members: [] });
    while (!(await make()).ok) await Bun.sleep(100);
  }
}

export const FLOODS: readonly Flood[] = [
  {
    name: "one ref again and again",
    attack: frames(1, { t: "send", ref: "same", to: "@nobody-there", text: "x", retry: true }),
  },
  { name: "pings", attack: frames(1, { t: "ping" }) },
  { name: "pings over 128 sockets", attack: frames(128, { t: "ping" }) },
  { name: "frames that are not served", attack: frames(4, { t: "watch", users: [] }) },
  { name: "sends to nobody", attack: frames(4, { t: "send", ref: "r", to: "@nobody-there", text: "x" }) },
  { name: "frames that are no JSON", attack: frames(16, "no JSON") },
  { name: "pings of 60 KB", attack: frames(4, `{"t":"ping"${" ".repeat(60_000)}}`) },
  {
    name: "received, one message at a time",
    prepare: manySenders,
    attack: (world, stopped) => {
      let seq = 0;
      const next = (): Buffer | undefined => (seq < 3000 ? frameOf(`{"t":"received","seq":${++seq}}`) : undefined);
      return withSockets(world, 1, () => ({ hello: helloOf(world.attacker), next }), stopped);
    },
  },
  {
    name: "120 catch-ups that nobody reads",
    prepare: ownHistory,
    attack: (world, stopped) => {
      const hello = helloOf(world.attacker, { epoch: "", timeline: 0, groups: {} });
      const next = repeated({ t: "ping" });
      const ping = () => next().subarray(0, 18);
      return withSockets(
        world,
        120,
        () => ({ hello, next: ping, isReading: false, isStubborn: true, everyMs: 1000 }),
        stopped,
      );
    },
  },
  {
    name: "300 frames of 1 MB that never end",
    attack: (world, stopped) => {
      const frame = frameOf("x".repeat(1_000_000));
      return withSockets(
        world,
        300,
        () => {
          let isSaid = false;
          const next = (): Buffer | undefined => {
            if (isSaid) return undefined;
            isSaid = true;
            return frame.subarray(0, frame.length - 1);
          };
          return { hello: undefined, next, isStubborn: true };
        },
        stopped,
      );
    },
  },
  {
    name: "500 silent connections",
    attack: (world, stopped) =>
      withSockets(world, 500, () => ({ hello: undefined, next: () => undefined, isStubborn: true }), stopped),
  },
  { name: "opens and closes sockets as fast as it can", attack: connections(64, upgradeOnce) },
  { name: "connects and leaves without a word", attack: connections(64, connectOnce) },
  {
    name: "hello of somebody in 300 groups, again and again",
    prepare: manyGroups,
    attack: (world, stopped) => {
      const hello = helloOf(world.attacker, { epoch: "", timeline: 0, groups: {} });
      const bad = repeated("no JSON");
      return withSockets(world, 8, () => ({ hello, next: bad, isStubborn: true }), stopped);
    },
  },
  {
    name: "lists of conversations",
    prepare: fatGroups,
    attack: calls(10, ({ url, attacker }) => callAs(url, attacker, "GET", "/v1/conversations?limit=200&messages=15")),
  },
  {
    name: "which names there are",
    attack: calls(16, ({ url, attacker }, n) =>
      callAs(url, attacker, "GET", `/v1/conversations/%40guess-${n % NOBODY}/messages`),
    ),
  },
  {
    name: "wrong passwords",
    attack: calls(130, ({ url }, n) =>
      fetch(new URL("/v1/login", url), {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ user: `guess-${n % NOBODY}`, password: "not the password" }),
      }),
    ),
  },
  {
    name: "groups with a stranger",
    attack: calls(8, ({ url, attacker }, n) =>
      callAs(url, attacker, "POST", "/v1/groups", { id: `trap-${n}`, name: "trap", members: ["victim-one"] }),
    ),
  },
];
