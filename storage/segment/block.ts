/**
 * The inside of a block, before compression: the items of many streams, one run per stream.
 *
 *     block    run…                                     by rising stream number, each stream once
 *     run      stream number | bytes after this field | lanes | (str8 lane)… | items | item…
 *     item     head | seq | offset | str8 key | length | bytes
 *     head     lane index × 4 (0 for a key set alone) | 2 if a key run finds the key, else 0 | 1 for a key set alone, 0 for an entry
 *     str8     u8 length | ASCII
 *
 * Every number not marked u8 is a varint: 7 bits a byte, lowest first. Items are in log order. `offset` is the difference to the item before
 * (the first: to 0). `seq` of an entry is the difference to the entry before (the first: to 0); of a key set alone it is the seq itself.
 * A run holds what one flush brought of a stream, or a part of it where a block was full.
 */
import type { Offset, Seq } from "../types.ts";

/** `key` is "" for none. `bytes[start, start + length)` is the payload of an entry or the value of a key set alone. */
export type Item = {
  alone: boolean;
  keyRun: boolean;
  seq: Seq;
  offset: Offset;
  lane: string;
  key: string;
  bytes: Buffer;
  start: number;
  length: number;
};

const VARINT_BYTES_MAX = 8;

/** A growing buffer of varints and short strings. */
class VarWriter {
  bytes = Buffer.allocUnsafeSlow(64 * 1024);
  pos = 0;

  reserve(more: number): void {
    if (this.pos + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.bytes.length * 2, this.pos + more));
    this.bytes.copy(larger, 0, 0, this.pos);
    this.bytes = larger;
  }

  varint(value: number): void {
    this.reserve(VARINT_BYTES_MAX);
    let rest = value;
    while (rest >= 128) {
      this.bytes[this.pos++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.bytes[this.pos++] = rest;
  }

  str8(text: string): void {
    this.reserve(1 + text.length);
    this.bytes[this.pos++] = text.length;
    this.pos += this.bytes.write(text, this.pos, "latin1");
  }

  copy(from: Buffer, start: number, end: number): void {
    this.reserve(end - start);
    this.pos += from.copy(this.bytes, this.pos, start, end);
  }
}

/** Builds one block after another in the same memory. */
export class BlockWriter {
  readonly #out = new VarWriter();
  readonly #items = new VarWriter();

  get length(): number {
    return this.#out.pos;
  }

  /** Adds a run of `items[from, to)`; `to` is where they reach `bytesMax`, at least one further. Returns `to`. */
  addRun(streamNo: number, items: Item[], from: number, bytesMax: number): number {
    const body = this.#items;
    const lanes: string[] = [];
    const room = bytesMax - this.#out.pos;
    let to = from;
    let lastSeq = 0;
    let lastOffset = 0;
    body.pos = 0;
    while (to < items.length && (to === from || body.pos < room)) {
      const item = items[to++]!;
      writeItem(body, item, item.alone ? 0 : laneIndex(lanes, item.lane), lastSeq, lastOffset);
      lastOffset = item.offset;
      if (!item.alone) lastSeq = item.seq;
    }
    this.#writeRun(streamNo, lanes, to - from);
    return to;
  }

  #writeRun(streamNo: number, lanes: string[], count: number): void {
    const out = this.#out;
    let headBytes = varintBytes(lanes.length) + varintBytes(count);
    for (const lane of lanes) headBytes += 1 + lane.length;
    out.varint(streamNo);
    out.varint(headBytes + this.#items.pos);
    out.varint(lanes.length);
    for (const lane of lanes) out.str8(lane);
    out.varint(count);
    out.copy(this.#items.bytes, 0, this.#items.pos);
  }

  /** The block so far, valid until the next `addRun`; the writer starts over. */
  take(): Buffer {
    const block = this.#out.bytes.subarray(0, this.#out.pos);
    this.#out.pos = 0;
    return block;
  }
}

function writeItem(out: VarWriter, item: Item, lane: number, lastSeq: number, lastOffset: number): void {
  out.varint(lane * 4 + (item.keyRun ? 2 : 0) + (item.alone ? 1 : 0));
  out.varint(item.alone ? item.seq : item.seq - lastSeq);
  out.varint(item.offset - lastOffset);
  out.str8(item.key);
  out.varint(item.length);
  out.copy(item.bytes, item.start, item.start + item.length);
}

/** Few lanes per run, so a scan beats a map. */
function laneIndex(lanes: string[], lane: string): number {
  const known = lanes.indexOf(lane);
  return known >= 0 ? known : lanes.push(lane) - 1;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

class VarReader {
  readonly bytes: Buffer;
  pos: number;

  constructor(bytes: Buffer, pos: number) {
    this.bytes = bytes;
    this.pos = pos;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.pos++];
      if (byte === undefined) throw new RangeError("a block ends inside a number");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  str8(): string {
    const length = this.bytes[this.pos]!;
    const from = this.pos + 1;
    this.pos = from + length;
    return this.bytes.toString("latin1", from, this.pos);
  }
}

/** Calls `visit` with each run of a block, its items not yet decoded. @throws RangeError where the bytes are not a block. */
export function eachRun(block: Buffer, visit: (streamNo: number, at: number) => boolean | void): void {
  const reader = new VarReader(block, 0);
  while (reader.pos < block.length) {
    const streamNo = reader.varint();
    const bytes = reader.varint();
    const at = reader.pos;
    if (at + bytes > block.length) throw new RangeError("a run ends outside its block");
    if (visit(streamNo, at) === true) return;
    reader.pos = at + bytes;
  }
}

/** Where the run of a stream begins in a block, -1 when there is none. */
export function findRun(block: Buffer, streamNo: number): number {
  let found = -1;
  eachRun(block, (no, at) => {
    if (no === streamNo) found = at;
    return no >= streamNo;
  });
  return found;
}

/** The items of the run at `at`, in log order; they point into `block`. */
export function decodeRun(block: Buffer, at: number): Item[] {
  const reader = new VarReader(block, at);
  const lanes = Array.from({ length: reader.varint() }, () => reader.str8());
  const items: Item[] = [];
  let lastSeq = 0;
  let offset = 0;
  for (let left = reader.varint(); left > 0; left--) {
    const head = reader.varint();
    const alone = (head & 1) === 1;
    const seq = reader.varint() + (alone ? 0 : lastSeq);
    if (!alone) lastSeq = seq;
    offset += reader.varint();
    const key = reader.str8();
    const length = reader.varint();
    const start = reader.pos;
    reader.pos += length;
    if (reader.pos > block.length) throw new RangeError("an item ends outside its block");
    const lane = alone ? "" : lanes[Math.floor(head / 4)]!;
    const keyRun = (head & 2) === 2;
    items.push({ alone, keyRun, seq: seq as Seq, offset: offset as Offset, lane, key, bytes: block, start, length });
  }
  return items;
}
