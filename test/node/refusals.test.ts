/** Each state in which nothing is taken: the same true words in every answer, at /readyz and in the log, and the end of it by itself. */
import { afterEach, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { realFileSystem, type FileSystem } from "../../storage/vfs/file-system.ts";
import { hurriedClock } from "../support/hurried-clock.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

let node: TestNode;
afterEach(() => node.stop());

/** A file system that fails in one way while it is told to. */
function failing(code: string, isOfWrites: boolean): { files: FileSystem; set: (fails: boolean) => void } {
  let fails = false;
  const error = (): Error => Object.assign(new Error(`${code}: injected`), { code });
  const files: FileSystem = {
    ...realFileSystem,
    fillZeros: (path, length, stopped, done) =>
      fails ? done(error()) : realFileSystem.fillZeros(path, length, stopped, done),
    write: (file, bytes, from, to, position, done) =>
      fails && isOfWrites
        ? void setImmediate(() => done(error()))
        : realFileSystem.write(file, bytes, from, to, position, done),
  };
  return { files, set: (now) => void (fails = now) };
}

const CASES = [
  ["no descriptors", "EMFILE", false, "the server may open no more files"],
  ["disk full", "EDQUOT", false, "the disk is full"],
  ["log stuck", "EACCES", false, "the log's next file cannot be made"],
  ["log failed", "EIO", true, "the log could not be written and is being recovered"],
  ["disk full", "ENOSPC", true, "the disk is full"],
] as const;

test.each(CASES)(
  "%s (%s): sends, groups, registrations and /readyz say so, and it ends by itself",
  async (...given) => {
    const [state, code, isOfWrites, words] = given;
    const disk = failing(code, isOfWrites);
    const lines: Record<string, unknown>[] = [];
    const log = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
    node = await startTestNode(
      { logLevel: "info" },
      { files: disk.files, log, walFileBytes: 128 << 10, clock: hurriedClock },
    );
    const [alice, bob] = (await node.api.users("alice", "bob")) as [Credentials, Credentials];
    const send = (text: string, by = alice) =>
      node.api.post("/v1/messages", by.token, { to: "@alice", text, ref: crypto.randomUUID() });
    const isReady = async (): Promise<boolean> => (await node.api.call("GET", "/readyz")).status === 200;

    disk.set(true);
    await until("nothing is taken", async () => (await send("x".repeat(4000))).status === 503 && !(await isReady()));
    const { api } = node;
    const answers = [
      await send("refused"),
      await api.post("/v1/groups", alice.token, { id: "hikers", name: "hikers", members: [] }),
      await api.call("POST", "/v1/register", undefined, { user: "carol", password: "correct horse" }),
    ];
    for (const { status, body } of answers) {
      expect([status, body.code, body.retryAfterMs > 0]).toEqual([503, "unavailable", true]);
      expect(body.detail).toStartWith(`${words}; try again in `);
    }
    expect((await api.call("GET", "/readyz")).body.detail).toBe(`not ready: ${words}`);
    const device = await node.connect(alice);
    expect(await device.ask("@alice", "refused", "r-1", true)).toMatchObject({
      code: "unavailable",
      detail: expect.stringContaining(`${words}; try again in `),
    });

    disk.set(false);
    await until("it is ready", isReady);
    expect((await send("taken", bob)).status).toBe(201);
    const told = lines.filter((line) => line["state"] !== undefined);
    // On a busy machine the end may have been told by now as well.
    const whole = ["writes are refused", "writes are taken again"];
    expect(told.map(({ message }) => message)).toEqual(whole.slice(0, Math.max(1, told.length)));
    const [began] = told;
    expect(began).toMatchObject({ state, why: words, level: "error" });
    expect(String(began!["error"])).toContain(code);
  },
);
