/** A disk that is full: new messages are refused, everything is read, and it goes on by itself when there is room. */
import { afterEach, describe, expect, test } from "bun:test";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { realFileSystem, type FileSystem } from "../../storage/vfs/file-system.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { hurriedClock } from "../support/hurried-clock.ts";
import { smallDisk } from "../support/small-disk.ts";
import { startTestNode, type TestNode } from "../support/test-node.ts";
import { until } from "../support/wait.ts";

type Disk = {
  name: string;
  start: (files: FileSystem, log: (line: string) => void) => Promise<TestNode>;
  files: FileSystem;
  fill: () => void;
  release: () => void;
  remove: () => void;
};

/** Under the log alone: says it is full, and does not write. */
function toldFull(): Disk {
  let isFull = false;
  const full = (): Error => Object.assign(new Error("ENOSPC: told"), { code: "ENOSPC" });
  const files: FileSystem = {
    ...realFileSystem,
    freeBytes: (path) => (isFull ? 0 : realFileSystem.freeBytes(path)),
    write: (file, bytes, from, to, position, done) =>
      isFull ? void setImmediate(() => done(full())) : realFileSystem.write(file, bytes, from, to, position, done),
    openDurable(path, create) {
      if (isFull && create) throw full();
      return realFileSystem.openDurable(path, create);
    },
    fillZeros: (path, length, stopped, done) =>
      isFull ? done(full()) : realFileSystem.fillZeros(path, length, stopped, done),
  };
  return {
    name: "a file system that says it is full",
    start: (used, log) => startTestNode({ logLevel: "info" }, { files: used, log, clock: hurriedClock }),
    files,
    fill: () => void (isFull = true),
    release: () => void (isFull = false),
    remove() {},
  };
}

function mounted(): Disk | undefined {
  const disk = smallDisk(192);
  if (disk === undefined) return undefined;
  const before = process.env["TMPDIR"];
  return {
    ...disk,
    name: "a small disk that is full",
    files: realFileSystem,
    async start(files, log) {
      process.env["TMPDIR"] = disk.path;
      const node = await startTestNode({ logLevel: "info" }, { files, log, clock: hurriedClock });
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
      return node;
    },
  };
}

/** The one whose write met the full disk hears that nobody knows what became of it. */
const isUnderWay = (detail: string): boolean => detail.startsWith("the log could not be written; send again");

const disks = [mounted(), toldFull()].filter((disk) => disk !== undefined);

describe.each(disks)("$name", (disk) => {
  let node: TestNode;
  const lines: Record<string, unknown>[] = [];
  const log = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const told = (): string[] =>
    lines
      .filter(({ state }) => state !== undefined)
      .map(({ state, message }) => `${String(state)}: ${String(message)}`);
  afterEach(async () => {
    disk.release();
    await node.stop();
    disk.remove();
  });

  test("refuses new messages with the reason, serves every read, and accepts messages again when there is room", async () => {
    let looks = 0;
    const freeBytes = (path: string): number => {
      looks++;
      return disk.files.freeBytes(path);
    };
    node = await disk.start({ ...disk.files, freeBytes }, log);
    const [alice, bob] = (await node.api.users("alice", "bob")) as [Credentials, Credentials];
    const ackedBySeq = new Map<number, string>();
    const acked = (): string[] => [...ackedBySeq].toSorted(([a], [b]) => a - b).map(([, text]) => text);
    const send = async (text: string): Promise<number> => {
      const { status, body } = await node.api.post("/v1/messages", alice.token, {
        to: "@bob",
        text,
        ref: text.split(" ")[0],
      });
      if (status === 201) ackedBySeq.set(body.seq, text);
      else {
        expect([status, body.code, body.retryAfterMs > 0]).toEqual([503, "unavailable", true]);
        if (!isUnderWay(body.detail)) expect(body.detail).toStartWith("the disk is full; try again in ");
      }
      return status;
    };
    const texts = async (): Promise<string[]> => (await node.api.history(bob, "@alice")).map(({ text }) => text);
    for (let n = 0; n < 20; n++) expect(await send(`before-${n}`)).toBe(201);

    disk.fill();
    let sends = 0;
    const fill = (): string => `filling-${sends++} ${"long ".repeat(3000)}`;
    await until("it refuses", async () =>
      (await Promise.all(Array.from({ length: 16 }, () => send(fill())))).includes(503),
    );
    // Until it has tried again, in vain.
    for (const looksBefore = looks; looks < looksBefore + 2; await Bun.sleep(5)) {
      expect(await send("while-full")).toBe(503);
      const ready = await node.api.call("GET", "/readyz");
      expect([ready.status, ready.body.detail]).toEqual([503, "not ready: the disk is full"]);
      expect((await texts()).slice(0, ackedBySeq.size)).toEqual(acked());
      const device = await node.connect(bob, FROM_THE_BEGINNING);
      await device.take("live");
      device.terminate();
      expect(
        (await node.api.post("/v1/groups", alice.token, { id: "hikers", name: "hikers", members: [] })).status,
      ).toBe(503);
    }

    disk.release();
    await until("it takes messages", async () => (await send("after")) !== 503);
    expect((await node.api.call("GET", "/readyz")).status).toBe(200);
    await until("the log says so", () => told().length > 1);
    expect(told()).toEqual(["disk full: writes are refused", "disk full: writes are taken again"]);
    const [began, over] = lines.filter(({ state }) => state !== undefined);
    expect([began!["level"], String(began!["error"])]).toEqual(["error", expect.stringContaining("ENOSPC")]);
    expect(over!["refused"]).toBeGreaterThan(1);
    expect(await texts()).toEqual(acked());
    await node.restart();
    expect(await texts()).toEqual(acked());
    expect(new Set(acked()).size).toBe(ackedBySeq.size);
  });
});
