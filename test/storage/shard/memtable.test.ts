import { expect, test } from "bun:test";
import { MemCells } from "../../../storage/shard/mem-cells.ts";
import { INDEXED_AT_ONCE } from "../../../storage/shard/mem-keys.ts";
import { Memtable, MemStream, STREAM_BYTES } from "../../../storage/shard/memtable.ts";
import { SlabPool } from "../../../storage/shard/slab-pool.ts";
import { ByteWriter } from "../../../storage/encoding/byte-writer.ts";
import {
  beginEntry,
  beginRecord,
  endEntry,
  endRecord,
  RECORD_HEADER_BYTES,
  writeCell,
  writeKey,
} from "../../../storage/encoding/record.ts";
import type { LogPosition, Offset, Seq, ShardId, Term } from "../../../storage/types.ts";

const SHARD = 7 as ShardId;
const TERM = 1 as Term;

/** A memtable with one stream, fed record by record. */
class Fed {
  readonly table = new Memtable(new SlabPool());
  readonly stream = new MemStream(this.table, "@alice", { streamNo: 1, headSeq: 0 as Seq });
  readonly written: Buffer[] = [];
  #offset = 0;
  #seq = 0;

  /** A record with one entry for each payload. */
  entries(...payloads: Buffer[]): void {
    const out = new ByteWriter(Buffer.alloc(64));
    const positions: [number, Seq][] = [];
    this.#record(
      out,
      () => {
        for (const payload of payloads) {
          const seq = ++this.#seq as Seq;
          positions.push([out.pos, seq]);
          const at = beginEntry(out, "@alice", `lane ${seq % 3}`, `key-${seq}`, seq, payload.length);
          out.raw(payload);
          endEntry(out, at);
        }
      },
      (record) => {
        for (const [position, seq] of positions) this.stream.append(seq, this.table.pointer(record, position));
      },
    );
  }

  cell(key: string, value: Buffer | null): void {
    const out = new ByteWriter(Buffer.alloc(64));
    this.#record(
      out,
      () => writeCell(out, "@alice", key, value),
      (record) => this.stream.setCell(key, this.table.pointer(record, RECORD_HEADER_BYTES)),
    );
  }

  key(key: string, seq: number, value: Buffer): void {
    const out = new ByteWriter(Buffer.alloc(64));
    this.#record(
      out,
      () => writeKey(out, "@alice", key, seq as Seq, value),
      (record) => this.stream.setKey(this.table.pointer(record, RECORD_HEADER_BYTES)),
    );
  }

  #record(out: ByteWriter, write: () => void, apply: (record: number) => void): void {
    const offset = ++this.#offset as Offset;
    const at = beginRecord(out, SHARD, TERM, offset);
    write();
    endRecord(out, at);
    this.written.push(Buffer.from(out.bytes.subarray(0, out.pos)));
    apply(this.table.record(offset, out.bytes, at, out.pos, 1 as LogPosition));
  }
}

const payload = (seq: number, length: number): Buffer => Buffer.alloc(length, `${seq} `);

test("what was taken is read back as it was, whatever its size: records of many entries, and larger than any slab", () => {
  const fed = new Fed();
  const sizes = [3, 0, 5000, 700, 300_000, 12, 1_100_000, 40, 41, 2_000_000, 8];
  const records = Array.from({ length: 400 }, (_, at) => [sizes[at % sizes.length]!, at % 7].slice(0, 1 + (at % 2)));
  const wanted: { seq: number; offset: number; length: number }[] = [];
  let seq = 0;
  records.forEach((lengths, index) => {
    fed.entries(...lengths.map((length, at) => payload(seq + at + 1, length)));
    for (const length of lengths) wanted.push({ seq: ++seq, offset: index + 1, length });
  });
  expect(fed.stream.entryCount).toBe(wanted.length);
  for (const { seq: at, offset, length } of wanted) {
    const entry = fed.stream.entry(fed.stream.indexAfter((at - 1) as Seq));
    expect([entry.seq, entry.offset, entry.lane, entry.key]).toEqual([
      at,
      offset,
      `lane ${at % 3}`,
      `key-${at}`,
    ] as never);
    expect(payload(at, length).equals(entry.payload)).toBe(true);
    expect(fed.stream.isInLane(at - 1, `lane ${at % 3}`)).toBe(true);
    expect(fed.stream.isInLane(at - 1, `lane ${(at + 1) % 3}`)).toBe(false);
  }
  const image = Buffer.concat(fed.table.image());
  expect(Buffer.concat(fed.written).equals(image)).toBe(true);
  expect(fed.table.bytes).toBe(image.length);
});

test("the first entry above an offset is found, wherever it is", () => {
  const fed = new Fed();
  for (let at = 0; at < 50; at++) fed.entries(payload(at, 10), payload(at, 10));
  for (let offset = 0; offset < 50; offset++)
    expect(fed.stream.seqSince(offset as Offset)).toBe((offset * 2 + 1) as Seq);
  expect(fed.stream.seqSince(50 as Offset)).toBeUndefined();
});

test("cells tell the last value or that they were cleared; keys, of entries or alone, are found", () => {
  const fed = new Fed();
  fed.cell("name", Buffer.from("Al"));
  fed.cell("name", Buffer.from("Alice"));
  fed.cell("gone", Buffer.from("x"));
  fed.cell("gone", null);
  fed.entries(payload(1, 5));
  fed.key("alone", 41, Buffer.from("elsewhere"));
  expect([...fed.stream.cells()].map(([key, value]) => [key, value && Buffer.from(value).toString()])).toEqual([
    ["name", "Alice"],
    ["gone", null],
  ]);
  expect([fed.stream.cell("gone"), fed.stream.cell("never")]).toEqual([null, undefined]);
  expect(fed.stream.findKey("key-1")).toEqual({ seq: 1 as Seq, value: null });
  expect(Buffer.from(fed.stream.findKey("alone")!.value!).toString()).toBe("elsewhere");
  // Also what came after somebody looked.
  fed.entries(payload(2, 5));
  fed.key("later", 42, Buffer.from("too"));
  expect(fed.stream.findKey("key-2")).toEqual({ seq: 2 as Seq, value: null });
  expect(fed.stream.findKey("later")?.seq).toBe(42 as Seq);
});

test("the highest counter behind a prefix is told, of keys of entries and of keys alone, erased ones included", () => {
  const fed = new Fed();
  expect(fed.stream.highestCounter("key-")).toBe(-1);
  for (let at = 0; at < 12; at++) fed.entries(payload(at, 5));
  for (const key of ["key-007", "key-", "ke-99", "key-1x", "k", "m7", "5"]) fed.key(key, 1, Buffer.from("elsewhere"));
  expect(["key-", "key", "k", "m", "", "ke-", "key-1"].map((prefix) => fed.stream.highestCounter(prefix))).toEqual([
    12, -1, -1, 7, 5, 99, 2,
  ]);
  fed.stream.erase(undefined, 12 as Seq, 12 as Seq);
  expect(fed.stream.highestCounter("key-")).toBe(12);
});

test("erased entries are tombstones here, keys included, those of other lanes are not", () => {
  const fed = new Fed();
  for (let at = 0; at < 9; at++) fed.entries(payload(at, 10));
  expect(fed.stream.findKey("key-4")?.seq).toBe(4 as Seq);
  fed.stream.erase("lane 1", 2 as Seq, 99 as Seq);
  const gone = [4, 7];
  for (let seq = 1; seq <= 9; seq++) {
    const entry = fed.stream.entry(seq - 1);
    const isGone = gone.includes(seq);
    expect([entry.seq, entry.offset, entry.lane]).toEqual([seq, seq, `lane ${seq % 3}`] as never);
    expect([entry.key, entry.payload.length]).toEqual(isGone ? ["", 0] : [`key-${seq}`, 10]);
    expect(fed.stream.findKey(`key-${seq}`) === undefined).toBe(isGone);
  }
});

test("a shard with little takes little room, one with much hardly more than its records", () => {
  const little = new Fed();
  little.entries(payload(1, 1500));
  expect(little.table.roomBytes).toBe(2048);
  const much = new Fed();
  for (let at = 0; at < 20_000; at++) {
    much.entries(payload(at, 100));
    expect(much.table.roomBytes).toBeLessThanOrEqual(Math.max(2048, much.table.bytes * 2.1));
  }
  expect(much.table.roomBytes - much.table.bytes).toBeLessThan((256 << 10) + much.table.bytes / 100);
});

test("of a hundred cells that are set again and again, the last value of each is found", () => {
  const cells = new MemCells();
  const last = new Map<string, number>();
  for (let at = 0; at < 1000; at++) {
    const name = `cell/${(at * 7) % Math.min(100, 1 + at)}`;
    cells.set(name, at);
    last.set(name, at);
    expect(cells.get(name)).toBe(at);
  }
  expect(new Map(cells.entries())).toEqual(last);
  expect(cells.get("cell/100")).toBeUndefined();
});

test("streams with little each count more than their records", () => {
  const table = new Memtable(new SlabPool());
  for (let streamNo = 1; streamNo <= 10; streamNo++)
    table.streams.set(`@${streamNo}`, new MemStream(table, `@${streamNo}`, { streamNo, headSeq: 0 as Seq }));
  expect(table.memoryBytes).toBe(table.bytes + 10 * STREAM_BYTES);
});

test("keys are found, erased ones not, while the index of many is being made a part at a time", () => {
  const fed = new Fed();
  const count = 3 * INDEXED_AT_ONCE;
  const nothing = Buffer.alloc(0);
  for (let at = 0; at < count; at++) fed.entries(nothing);
  for (let at = 0; at < count; at++) fed.key(`alone-${at}`, at + 1, nothing);
  fed.stream.erase(undefined, 5 as Seq, 5 as Seq);
  fed.stream.erase(undefined, (count - 5) as Seq, (count - 5) as Seq);
  const seqOf = (key: string): number | undefined => fed.stream.findKey(key)?.seq;
  // More than once: of the first look-ups each finds more of it indexed.
  for (let round = 0; round < 3; round++) {
    for (const seq of [1, 2, count - 6, count, 5, count - 5])
      expect([seq, seqOf(`key-${seq}`)]).toEqual([seq, seq === 5 || seq === count - 5 ? undefined : seq]);
    for (const seq of [1, count]) expect(seqOf(`alone-${seq - 1}`)).toBe(seq);
    expect([seqOf("key-0"), seqOf(`alone-${count}`), seqOf("")]).toEqual([undefined, undefined, undefined]);
  }
  fed.stream.erase(undefined, 1 as Seq, 1 as Seq);
  expect([seqOf("key-1"), seqOf("key-2")]).toEqual([undefined, 2]);
});
