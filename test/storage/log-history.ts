/**
 * Histories of a log store against a plain model: a history is a list of batches, a batch is appended in one turn of the event loop and so is one frame or a
 * part of one. The model keeps every record; what a store must answer is the fold of the first so many records of each shard.
 */
import { expect } from "bun:test";
import type { LogStore } from "../../storage/log-store.ts";
import type { ShardLog } from "../../storage/shard/shard-log.ts";
import { StreamHandle } from "../../storage/shard/staged-record.ts";
import type { Offset, Seq, ShardId } from "../../storage/types.ts";

export type Op =
  | { kind: "entry"; stream: string; lane: string; key: string; payload: string }
  | { kind: "key"; stream: string; key: string; seq: number; value: string }
  | { kind: "cell"; stream: string; key: string; value: string | null };

export type RecordOfShard = { shard: number; ops: Op[] };

type Numbered = (Op & { kind: "entry"; seq: Seq }) | Exclude<Op, { kind: "entry" }>;
type Entry = { seq: number; offset: number; lane: string; key: string; payload: string };
type Stream = {
  streamNo: number;
  headSeq: number;
  entries: Entry[];
  keys: Map<string, { seq: number; value: string | null }>;
  cells: Map<string, string>;
};

/** What a shard must answer after its first `through` records. */
export function fold(records: readonly Numbered[][], through: number): Map<string, Stream> {
  const streams = new Map<string, Stream>();
  records.slice(0, through).forEach((ops, index) => {
    for (const op of ops) {
      let stream = streams.get(op.stream);
      if (stream === undefined) {
        stream = { streamNo: streams.size + 1, headSeq: 0, entries: [], keys: new Map(), cells: new Map() };
        streams.set(op.stream, stream);
      }
      applyOp(stream, op, index + 1);
    }
  });
  return streams;
}

function applyOp(stream: Stream, op: Numbered, offset: number): void {
  if (op.kind === "entry") {
    stream.headSeq = op.seq;
    stream.entries.push({ seq: op.seq, offset, lane: op.lane, key: op.key, payload: op.payload });
    if (op.key !== "") stream.keys.set(op.key, { seq: op.seq, value: null });
  } else if (op.kind === "key") stream.keys.set(op.key, { seq: op.seq, value: op.value });
  else if (op.value === null) stream.cells.delete(op.key);
  else stream.cells.set(op.key, op.value);
}

type Place = { shard: number; offset: number };

export class LogHistory {
  /** Records of each shard, by offset - 1, with what they hold. */
  readonly records = new Map<number, Numbered[][]>();
  /** Every appended record in the order of the log, by batch. */
  readonly batches: Place[][] = [];
  readonly acked = new Map<number, number>();
  readonly failed: string[] = [];
  readonly #heads = new Map<string, number>();
  readonly #keys = new Set<string>();
  readonly #handles = new Map<string, StreamHandle>();

  /** Appends a batch to a store, in one turn. */
  append(store: LogStore, batch: RecordOfShard[]): void {
    this.batches.push(batch.map((record) => this.#appendRecord(store, record)));
  }

  /** A store was opened anew: only what it holds has happened. */
  reopened(store: LogStore): void {
    this.#handles.clear();
    this.#heads.clear();
    this.#keys.clear();
    const isThere = ({ shard, offset }: Place): boolean => store.shard(shard as ShardId).durableThrough >= offset;
    this.batches.splice(0, this.batches.length, ...this.batches.filter((batch) => batch.every(isThere)));
    for (const [shard, records] of this.records) {
      records.length = store.shard(shard as ShardId).durableThrough;
      for (const [name, stream] of fold(records, records.length)) {
        this.#heads.set(`${shard} ${name}`, stream.headSeq);
        for (const key of stream.keys.keys()) this.#keys.add(`${shard} ${name} ${key}`);
      }
    }
  }

  /** Everything acknowledged is there, nothing is there in part, nothing that was never appended, and every read agrees with the model. */
  expectIn(store: LogStore): void {
    for (const [shard, through] of this.acked)
      expect(store.shard(shard as ShardId).durableThrough).toBeGreaterThanOrEqual(through);
    const isThere = ({ shard, offset }: Place): boolean => store.shard(shard as ShardId).durableThrough >= offset;
    let hasEnded = false;
    for (const batch of this.batches) {
      const there = batch.filter(isThere).length;
      if (there !== 0 && there !== batch.length)
        throw new Error(`${there} of ${batch.length} records of a frame are there`);
      if (hasEnded && there > 0) throw new Error("a record is there, and one before it in the log is not");
      hasEnded ||= there < batch.length;
    }
    for (const [shard, records] of this.records) expectShard(store.shard(shard as ShardId), records);
  }

  #appendRecord(store: LogStore, { shard, ops }: RecordOfShard): Place {
    const log = store.shard(shard as ShardId);
    const records = this.records.get(shard) ?? [];
    this.records.set(shard, records);
    const numbered = ops.flatMap((op) => this.#number(shard, op));
    records.push(numbered);
    const offset = records.length;
    log.append({
      encode: () => {
        for (const op of numbered) this.#encode(log, op);
      },
      committed: () => void this.acked.set(shard, offset),
      failed: (error) => void this.failed.push(error.message),
    });
    return { shard, offset };
  }

  /** A key that the stream has already is left out, as the store's user would. */
  #number(shard: number, op: Op): Numbered[] {
    const isNew = op.kind === "cell" || op.key === "" || !this.#keys.has(`${shard} ${op.stream} ${op.key}`);
    if (op.kind !== "cell" && op.key !== "") this.#keys.add(`${shard} ${op.stream} ${op.key}`);
    if (op.kind !== "entry") return isNew && (op.kind === "cell" || op.key !== "") ? [op] : [];
    const name = `${shard} ${op.stream}`;
    const seq = (this.#heads.get(name) ?? 0) + 1;
    this.#heads.set(name, seq);
    return [{ ...op, key: isNew ? op.key : "", seq: seq as Seq }];
  }

  #encode(log: ShardLog, op: Numbered): void {
    const id = `${log.shard} ${op.stream}`;
    const handle = this.#handles.get(id) ?? new StreamHandle(op.stream, log.head(op.stream));
    this.#handles.set(id, handle);
    if (op.kind === "cell") return log.putCell(handle, op.key, op.value === null ? null : Buffer.from(op.value));
    if (op.kind === "key") return log.putKey(handle, op.key, op.seq as Seq, Buffer.from(op.value));
    log.beginEntry(handle, op.lane, op.key, op.seq, op.payload.length * 3);
    log.writer.utf8(op.payload);
    log.endEntry();
  }
}

const END = Number.MAX_SAFE_INTEGER as Seq;

function expectShard(log: ShardLog, records: Numbered[][]): void {
  const streams = fold(records, log.durableThrough);
  for (const [name, model] of streams) expectStream(log, name, model);
  for (const since of new Set([0, log.durableThrough >> 1, log.durableThrough - 1]))
    expectStreamsSince(log, streams, since);
}

function expectStream(log: ShardLog, name: string, model: Stream): void {
  const { entries } = model;
  const head = log.head(name)!;
  expect([head.streamNo, head.headSeq as number]).toEqual([model.streamNo, model.headSeq]);
  expect(log.streamName(model.streamNo)).toBe(name);
  expect(plain(log.readForward(name, 0 as Seq, 10_000))).toEqual(entries);
  const middle = (model.headSeq >> 1) as Seq;
  expect(plain(log.readForward(name, middle, 3))).toEqual(entries.slice(middle, middle + 3));
  for (const lane of new Set(entries.map((entry) => entry.lane))) {
    const inLane = entries.filter((entry) => entry.lane === lane);
    expect(plain(log.readLaneForward(name, lane, middle, 4))).toEqual(
      inLane.filter((entry) => entry.seq > middle).slice(0, 4),
    );
    expect(plain(log.readLaneBackward(name, lane, END, 10_000))).toEqual(inLane);
    expect(plain(log.readLaneBackward(name, lane, middle, 2))).toEqual(
      inLane.filter((entry) => entry.seq < middle).slice(-2),
    );
  }
  for (const [key, { seq, value }] of model.keys) {
    const hit = log.findKey(name, key)!;
    expect([hit.seq as number, hit.value === null ? null : text(hit.value)]).toEqual([seq, value]);
  }
  expect(log.findKey(name, "was never set")).toBeUndefined();
  expect(new Map([...log.cells(name)].map(([key, value]) => [key, text(value)]))).toEqual(model.cells);
  for (const key of ["a", "b", "c"]) {
    const value = log.cell(name, key);
    expect(value === undefined ? undefined : text(value)).toBe(model.cells.get(key));
  }
}

function expectStreamsSince(log: ShardLog, streams: Map<string, Stream>, since: number): void {
  const wanted = [...streams].flatMap(([stream, { entries }]) => {
    const first = entries.find((entry) => entry.offset > since);
    return first === undefined ? [] : [`${stream} ${first.seq}`];
  });
  const found = log.streamsSince(since as Offset).map(({ stream, fromSeq }) => `${stream} ${fromSeq}`);
  expect(found.toSorted()).toEqual(wanted.toSorted());
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function plain(entries: ReturnType<ShardLog["readForward"]>): Entry[] {
  return entries.map(({ seq, offset, lane, key, payload }) => ({ seq, offset, lane, key, payload: text(payload) }));
}
