/** Random records on several shards, some of which fail somewhere, against a model that knows only those that did not. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { LogStore } from "../../../storage/log-store.ts";
import type { ShardLog } from "../../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../../storage/shard/staged-record.ts";
import type { Seq, ShardId } from "../../../storage/types.ts";
import { randomFrom } from "../../support/random.ts";
import { seeded } from "../../support/seed.ts";
import { openStore } from "../log-fixture.ts";
import { SimulatedDisk } from "../vfs/simulated-disk.ts";

const SHARDS = [3, 4, 5] as ShardId[];
const STREAMS = ["@ann", "#club"];
const MISTAKE = new Error("the encoder's own mistake");

type Op = { kind: "entry" | "cell" | "numbers" | "key" | "erase"; stream: number; text: string };
type Fault =
  "throws" | "too long" | "not ASCII" | "out of range" | "swallowed" | "left open" | "nested" | "bytes of nobody";
type Step = {
  shard: number;
  ops: Op[];
  /** In front of the operation at `at`, or at the end; where it stands inside of an entry, before its payload ends. */
  fault: { at: number; how: Fault } | undefined;
  /** Appended well, and taken back with a record of another shard. */
  isTakenBack: boolean;
  isTurnOver: boolean;
};

const op = fc.record<Op>({
  kind: fc.constantFrom("entry", "entry", "cell", "numbers", "key", "erase"),
  stream: fc.nat({ max: STREAMS.length - 1 }),
  text: fc.string({ unit: "binary-ascii", maxLength: 12 }),
});
const fault = fc.record({
  at: fc.nat({ max: 4 }),
  how: fc.constantFrom<Fault>(
    "throws",
    "too long",
    "not ASCII",
    "out of range",
    "swallowed",
    "left open",
    "nested",
    "bytes of nobody",
  ),
});
const step = fc.record<Step>({
  shard: fc.nat({ max: SHARDS.length - 1 }),
  ops: fc.array(op, { maxLength: 4 }),
  fault: fc.option(fault, { nil: undefined }),
  isTakenBack: fc.boolean(),
  isTurnOver: fc.boolean(),
});

type Stream = { entries: string[]; cells: Map<string, string>; keys: Map<string, string> };

/** What a shard must answer. */
class Model {
  records = 0;
  readonly streams = STREAMS.map((): Stream => ({ entries: [], cells: new Map(), keys: new Map() }));

  record(ops: readonly Op[]): void {
    this.records++;
    for (const { kind, stream, text } of ops) {
      const { entries, cells, keys } = this.streams[stream]!;
      if (kind === "entry") entries.push(`${text}/payload ${text}`);
      else if (kind === "cell") cells.set(`c${text}`, text);
      else if (kind === "numbers") cells.set(`n${text}`, String.fromCharCode(text.length));
      else if (kind === "key") keys.set(`k${text}`, keys.get(`k${text}`) ?? text);
      else entries.splice(0, 1, ...entries.slice(0, 1).map((entry) => `${entry.slice(0, entry.indexOf("/payload"))}/`));
    }
  }
}

class Shard {
  readonly log: ShardLog;
  readonly model = new Model();
  readonly handles: StreamHandle[];
  acked = 0;

  constructor(store: LogStore, shard: ShardId) {
    this.log = store.shard(shard);
    this.handles = STREAMS.map((stream) => new StreamHandle(stream, this.log.head(stream)));
  }

  append(ops: readonly Op[], inFront: (index: number) => void = () => {}): void {
    this.log.append({
      encode: () => {
        for (const [index, each] of ops.entries()) this.#put(each, () => inFront(index));
        inFront(ops.length);
      },
      committed: () => void this.acked++,
      failed(error) {
        throw error;
      },
    });
  }

  #put({ kind, stream, text }: Op, inFront: () => void): void {
    const { log } = this;
    const handle = this.handles[stream]!;
    if (kind !== "entry") inFront();
    if (kind === "cell") log.putCell(handle, `c${text}`, Buffer.from(text));
    else if (kind === "numbers") log.putNumbers(handle, `n${text}`, text.length);
    else if (kind === "key") log.putKey(handle, `k${text}`, 1 as Seq, Buffer.from(text));
    else if (kind === "erase") log.erase(handle, undefined, 1 as Seq, 1 as Seq);
    else {
      log.beginEntry(handle, text, "", (handle.appendedSeq + 1) as Seq, 64);
      log.writer.utf8("payload ");
      inFront();
      log.writer.utf8(text);
      log.endEntry();
    }
  }

  expectIn(store: LogStore, shard: ShardId): void {
    const log = store.shard(shard);
    const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
    const { model } = this;
    expect([log.durableThrough as number, this.acked]).toEqual([model.records, model.records]);
    for (const [index, name] of STREAMS.entries()) {
      const { entries, cells, keys } = model.streams[index]!;
      const found = log.readForward(name, 0 as Seq, 1000);
      expect(found.map(({ lane, payload }) => `${lane}/${text(payload)}`)).toEqual(entries);
      expect(new Map([...log.cells(name)].map(([key, value]) => [key, text(value)]))).toEqual(cells);
      for (const [key, value] of keys) expect(text(log.findKey(name, key)!.value!)).toBe(value);
    }
  }
}

function fail(shard: Shard, other: Shard, how: Fault): void {
  const { log, handles } = shard;
  const stream = handles[0]!;
  const long = "x".repeat(300);
  switch (how) {
    case "throws":
      throw MISTAKE;
    case "too long":
      return log.putCell(stream, long, Buffer.from("v"));
    case "not ASCII":
      return log.putKey(stream, "schlüssel", 1 as Seq, Buffer.from("v"));
    case "out of range":
      return log.putNumbers(stream, "n", -1);
    case "left open":
      return log.beginEntry(stream, "", "", (stream.appendedSeq + 1) as Seq, 8);
    case "nested":
      return other.append([]);
    case "bytes of nobody":
      // Inside of an entry they are its payload, and more than was reserved for it.
      return log.writer.utf8(long);
    case "swallowed":
      expect(() => log.putCell(new StreamHandle("@new", undefined), long, null)).toThrow();
  }
}

const FAULTY = /300 characters|mistake|ASCII|does not fit|inside of another|no whole operation|payload of|room/;

/** An error that was swallowed spoils nothing where the operation had not begun: inside of an entry. */
function isAppended(how: Fault, attempt: () => void): boolean {
  try {
    attempt();
  } catch (error) {
    expect(String(error)).toMatch(FAULTY);
    return false;
  }
  expect(how).toBe("swallowed");
  return true;
}

test("whatever encoders do, the store opens again with all that was acknowledged and nothing else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const disk = new SimulatedDisk();
      const store = await openStore(disk);
      const shards = SHARDS.map((shard) => new Shard(store, shard));
      for (const { shard: index, ops, fault: planned, isTakenBack, isTurnOver } of steps) {
        const shard = shards[index]!;
        const other = shards[(index + 1) % shards.length]!;
        if (planned !== undefined) {
          const at = Math.min(planned.at, ops.length);
          const attempt = (): void => shard.append(ops, (n) => n === at && fail(shard, other, planned.how));
          if (isAppended(planned.how, attempt)) shard.model.record(ops);
        } else if (isTakenBack) {
          const { savepoint } = shard.log;
          shard.append(ops);
          other.append(ops);
          shard.append(ops);
          shard.log.rollBack(savepoint);
        } else {
          shard.append(ops);
          shard.model.record(ops);
        }
        if (isTurnOver) await store.idle();
      }
      await store.idle();
      const again = await openStore(disk.afterCrash("power", randomFrom(1)));
      for (const [index, shard] of shards.entries()) shard.expectIn(again, SHARDS[index]!);
      await again.close();
    }),
    seeded(150),
  );
});
