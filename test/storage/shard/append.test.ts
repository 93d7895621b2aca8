import { describe, expect, test } from "bun:test";
import type { LogStore } from "../../../storage/log-store.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { openStore } from "../log-fixture.ts";
import { randomFrom } from "../../support/random.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const SHARD = 7 as ShardId;
const MISTAKE = new Error("the encoder's own mistake");

/** One stream that is appended to, and what was acknowledged of it. */
class Writer {
  readonly log: ShardLog;
  readonly handle: StreamHandle;
  readonly acked: number[] = [];
  readonly store: LogStore;

  constructor(store: LogStore, shard = SHARD, stream = "@alice") {
    this.store = store;
    this.log = store.shard(shard);
    this.handle = new StreamHandle(stream, this.log.head(stream));
  }

  /** The next entry. `also` runs inside of its record. */
  append(also: () => void = () => {}, where: "before" | "inside" | "behind" = "behind"): void {
    const { log, handle } = this;
    const seq = (handle.appendedSeq + 1) as Seq;
    log.append({
      encode() {
        if (where === "before") also();
        log.beginEntry(handle, "", "", seq, 64);
        log.writer.utf8(`entry ${seq}`);
        if (where === "inside") also();
        log.endEntry();
        if (where === "behind") also();
      },
      committed: () => void this.acked.push(seq),
      failed(error) {
        throw error;
      },
    });
  }

  texts(): string[] {
    return this.log
      .readForward(this.handle.name, 0 as Seq, 10_000)
      .map(({ payload }) => Buffer.from(payload).toString());
  }
}

const entries = (count: number): string[] => Array.from({ length: count }, (_, n) => `entry ${n + 1}`);

/** Crashes, so that what comes back is what the log says. */
async function reopened(disk: SimulatedDisk, store: LogStore): Promise<LogStore> {
  await store.idle();
  return openStore(disk.afterCrash("power", randomFrom(1)));
}

function mistake(): never {
  throw MISTAKE;
}

/** As an encoder does that goes on with something else. */
function attempted(work: () => void): void {
  expect(work).toThrow();
}

describe("a record whose encoder throws leaves nothing behind, and what was acknowledged around it is there at the next start", () => {
  const long = "k".repeat(300);
  const value = Buffer.from("v");
  type Attempt = (writer: Writer) => void;
  const attempts: [string, Attempt][] = [
    ["before its entry", (writer) => writer.append(mistake, "before")],
    ["inside of its entry", (writer) => writer.append(mistake, "inside")],
    ["behind its entry", (writer) => writer.append(mistake)],
    [
      "a key of a cell with 300 characters",
      (writer) => writer.append(() => writer.log.putCell(writer.handle, long, value)),
    ],
    [
      "a key of numbers with 300 characters",
      (writer) => writer.append(() => writer.log.putNumbers(writer.handle, long, 1)),
    ],
    [
      "a key by itself with 300 characters",
      (writer) => writer.append(() => writer.log.putKey(writer.handle, long, 1 as Seq, value)),
    ],
    [
      "a stream with 300 characters",
      ({ log }) => log.append(plain(() => log.putCell(new StreamHandle(long, undefined), "k", value))),
    ],
    ["a key that is not ASCII", (writer) => writer.append(() => writer.log.putCell(writer.handle, "schlüssel", value))],
    ["a negative number", (writer) => writer.append(() => writer.log.putNumbers(writer.handle, "k", -1))],
    ["a number with a fraction", (writer) => writer.append(() => writer.log.putNumbers(writer.handle, "k", 0.5))],
    ["a number that is none", (writer) => writer.append(() => writer.log.putNumbers(writer.handle, "k", Number.NaN))],
    ["a number of 54 bits", (writer) => writer.append(() => writer.log.putNumbers(writer.handle, "k", 2 ** 53))],
    [
      "a seq of 49 bits",
      (writer) => writer.append(() => writer.log.putKey(writer.handle, "k", (2 ** 48) as Seq, value)),
    ],
    [
      "an erasure to a seq of 49 bits",
      (writer) => writer.append(() => writer.log.erase(writer.handle, undefined, 1 as Seq, (2 ** 48) as Seq)),
    ],
    [
      "more bytes than a record may have",
      (writer) => writer.append(() => writer.log.putCell(writer.handle, "k", Buffer.alloc(33 << 20))),
    ],
    [
      "a payload larger than what was reserved",
      (writer) => writer.append(() => writer.log.writer.utf8("x".repeat(65)), "inside"),
    ],
    [
      "an entry inside of an entry",
      (writer) => writer.append(() => writer.log.beginEntry(writer.handle, "", "", 102 as Seq, 1), "inside"),
    ],
    [
      "an entry that is not ended",
      (writer) => writer.append(() => writer.log.beginEntry(writer.handle, "", "", 102 as Seq, 1)),
    ],
    [
      "an entry that does not follow",
      (writer) => writer.append(() => writer.log.beginEntry(writer.handle, "", "", 104 as Seq, 1)),
    ],
    ["bytes behind its entry", (writer) => writer.append(() => writer.log.writer.utf8("beside"))],
    ["bytes in front of its entry", (writer) => writer.append(() => writer.log.writer.u32(7), "before")],
    [
      "an operation that failed, and an encoder that went on",
      (writer) => writer.append(() => attempted(() => writer.log.putCell(writer.handle, long, value))),
    ],
    [
      "an entry that failed, and an encoder that went on",
      (writer) => writer.append(() => attempted(() => writer.log.beginEntry(writer.handle, "", long, 102 as Seq, 0))),
    ],
    [
      "an operation of another shard",
      (writer) => writer.append(() => writer.store.shard(8 as ShardId).putCell(writer.handle, "k", value)),
    ],
    ["an entry that is ended twice", (writer) => writer.append(() => writer.log.endEntry())],
    [
      "an entry whose payload ends before it begins",
      (writer) => writer.append(() => void (writer.log.writer.pos -= 20), "inside"),
    ],
    [
      "an entry of seq 0",
      ({ log }) => log.append(plain(() => log.beginEntry(new StreamHandle("@new", undefined), "", "", 0 as Seq, 1))),
    ],
    [
      "a payload of a negative length",
      (writer) => writer.append(() => writer.log.beginEntry(writer.handle, "", "", 102 as Seq, -1)),
    ],
    ["a record inside of a record", (writer) => writer.append(() => writer.log.append(plain(() => {})))],
  ];
  const plain = (encode: () => void) => ({ encode, committed() {}, failed() {} });

  test.each(attempts)("%s", async (_, attempt) => {
    const disk = new SimulatedDisk();
    const store = await openStore(disk);
    const writer = new Writer(store);
    for (let n = 0; n < 100; n++) writer.append();
    expect(() => attempt(writer)).toThrow();
    for (let n = 0; n < 850; n++) writer.append();
    await store.idle();
    expect(writer.acked).toHaveLength(950);
    const again = await reopened(disk, store);
    expect(new Writer(again).texts()).toEqual(entries(950));
    expect(again.shard(SHARD).durableThrough as number).toBe(950);
    await again.close();
  });

  test("also when the record was begun inside of one of another shard", async () => {
    const disk = new SimulatedDisk();
    const store = await openStore(disk);
    const [one, other] = [new Writer(store), new Writer(store, 8 as ShardId)];
    expect(() => one.append(() => other.append())).toThrow("inside of another");
    one.append();
    other.append();
    const again = await reopened(disk, store);
    for (const shard of [SHARD, 8 as ShardId]) expect(new Writer(again, shard).texts()).toEqual(entries(1));
    await again.close();
  });

  test("what is written outside of a record is in none", async () => {
    const disk = new SimulatedDisk();
    const store = await openStore(disk);
    const writer = new Writer(store);
    const kept = writer.log.writer;
    writer.append();
    kept.utf8("too late");
    writer.append();
    kept.utf8("too late");
    const again = await reopened(disk, store);
    expect(new Writer(again).texts()).toEqual(entries(2));
    await again.close();
  });
});

test("records that belong together are taken back together, in every shard, and the next ones take their places", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const [one, other] = [new Writer(store), new Writer(store, 8 as ShardId)];
  one.append();
  const { savepoint } = one.log;
  one.append();
  other.append();
  one.append();
  one.log.rollBack(savepoint);
  one.log.rollBack(one.log.savepoint);
  other.append();
  one.append();
  await store.idle();
  expect([one.acked, other.acked]).toEqual([[1, 2], [1]]);
  const again = await reopened(disk, store);
  expect(new Writer(again).texts()).toEqual(entries(2));
  expect(new Writer(again, 8 as ShardId).texts()).toEqual(entries(1));
  await again.close();
});

test("what throws just before a write keeps nobody's record from being written", async () => {
  const errors: unknown[] = [];
  const hooks = { beforeWrite: mistake, onListenerError: (error: unknown) => void errors.push(error) };
  const store = await openStore(new SimulatedDisk(), {}, hooks);
  const writer = new Writer(store);
  writer.append();
  await store.idle();
  expect(writer.acked).toEqual([1]);
  expect(errors).toContain(MISTAKE);
  await store.close();
});

test("what throws when the log has failed keeps nobody from being told that it has", async () => {
  const disk = new SimulatedDisk();
  const errors: unknown[] = [];
  const hooks = { onFailure: mistake, onListenerError: (error: unknown) => void errors.push(error) };
  const store = await openStore(disk, {}, hooks);
  const { log } = new Writer(store);
  const failed: string[] = [];
  const append = (name: string) => log.append({ encode() {}, committed() {}, failed: () => void failed.push(name) });
  disk.fail("write", 1);
  append("first");
  await store.idle();
  append("second");
  await store.idle();
  expect(failed).toEqual(["first", "second"]);
  expect(errors).toEqual([MISTAKE]);
  await store.close();
});

test("records are not taken back while one is being encoded", async () => {
  const disk = new SimulatedDisk();
  const store = await openStore(disk);
  const writer = new Writer(store);
  const { savepoint } = writer.log;
  writer.append();
  expect(() => writer.append(() => writer.log.rollBack(savepoint))).toThrow("taken back");
  writer.append();
  const again = await reopened(disk, store);
  expect(new Writer(again).texts()).toEqual(entries(2));
  await again.close();
});
