/** Erasing a user's content, killed with -9 in the middle again and again: it goes on by itself until no file has a word of it. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { filesWith } from "../storage/files/stored-bytes.ts";
import { TestProcess } from "../support/test-process.ts";
import { until } from "../support/wait.ts";

const PEERS = 12;
const ROUNDS = 60;
const word = (of: string): string => `${of}${crypto.randomUUID().replaceAll("-", "")}`;

const statusOf = async (server: TestProcess, user: string) =>
  (await server.api.keyed("GET", `/v1/users/${user}/erasure`)).body;

/** Files of a running server that have these bytes as they are. A file may go while it is looked at. */
function rawFilesWith(directory: string, bytes: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => {
    try {
      return readFileSync(join(directory, name)).includes(bytes);
    } catch {
      return false;
    }
  });
}

async function write(
  server: TestProcess,
  ann: Credentials,
  peers: Credentials[],
  own: string,
  others: string,
): Promise<void> {
  const device = await server.connect(ann);
  const answers = peers.map(async (peer) => {
    const other = await server.connect(peer);
    for (let i = 0; i < ROUNDS; i++) other.post(i % 3 === 0 ? "#club" : "@ann", `${others} ${i}`);
    await other.takeMany("sent", ROUNDS);
    other.terminate();
  });
  for (let i = 0; i < ROUNDS; i++) {
    for (const { user } of peers) device.post(`@${user}`, `${own} ${i}`);
    device.post("#club", `${own} ${i}`);
    // No more at once than the server takes from one user.
    await device.takeMany("sent", peers.length + 1);
  }
  await Promise.all(answers);
  device.terminate();
}

/** How far ann's erasure is, as far as that shows. */
async function stepOf(server: TestProcess): Promise<string> {
  const { state, entries } = await statusOf(server, "ann");
  const shards = join(server.dataDirectory, "shards");
  return `${state}, ${entries}, ${readdirSync(shards).filter((name) => name.startsWith("erasing-")).length}`;
}

test("an erasure that is killed goes on at the next start, until all of it is gone and nothing else", async () => {
  const server = await TestProcess.start("--segment-mb", "1", "--log-level", "error");
  try {
    const names = Array.from({ length: PEERS }, (_, at) => `peer-${at}`);
    const [ann, ...peers] = (await server.api.users("ann", ...names)) as [Credentials, ...Credentials[]];
    await server.api.group(ann, "club", names);
    const [own, others] = [word("own"), word("others")];
    await write(server, ann, peers, own, others);
    // What was flushed and what is in the log alone.
    expect(await server.stop()).toBe(0);
    await server.start();
    await write(server, ann, peers, own, others);
    expect(rawFilesWith(server.dataDirectory, own).length).toBeGreaterThan(0);

    expect((await server.api.keyed("POST", "/v1/users/ann/erasure")).status).toBe(202);
    let kills = 0;
    let killedAt = "";
    // Twice at once; then whenever it has got further since: in the log, between the passes, in the files.
    for (; kills < 12 && (await statusOf(server, "ann")).state === "running"; kills++) {
      if (kills > 1) await until("it has got further", async () => (await stepOf(server)) !== killedAt);
      killedAt = await stepOf(server);
      await server.kill();
      await server.start();
    }
    expect(kills).toBeGreaterThan(1);
    await until("it is done", async () => (await statusOf(server, "ann")).state === "done");

    // Everything of ann's, the copies of what ann wrote, and what ann posted; counted once, however often it was begun.
    const fromAnn = 2 * ROUNDS * PEERS;
    const toAnn = 2 * (ROUNDS - Math.ceil(ROUNDS / 3)) * PEERS;
    expect((await statusOf(server, "ann")).entries).toBe(fromAnn + toAnn + fromAnn + 2 * ROUNDS);
    expect(rawFilesWith(server.dataDirectory, own)).toEqual([]);
    for (const peer of peers.slice(0, 3)) {
      const history = await server.api.history(peer, "@ann");
      expect(history.map(({ seq }) => seq)).toEqual(history.map(({ seq }) => seq).toSorted((a, b) => a - b));
      expect(history.filter(({ deletedAt }) => deletedAt !== undefined)).toHaveLength(2 * ROUNDS);
      expect(history.filter(({ text }) => text?.startsWith(others))).toHaveLength(toAnn / PEERS);
    }
    await server.kill();
    expect(filesWith(server.dataDirectory, Buffer.from(own))).toEqual([]);
    expect(filesWith(server.dataDirectory, Buffer.from(others)).length).toBeGreaterThan(0);
  } finally {
    await server.remove();
  }
});
