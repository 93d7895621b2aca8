/**
 * The inside of a block, before compression: runs of many lanes.
 *
 *     block    run of a lane…                           by stream and lane in the order of the flush, each lane once
 *     part     lane number | stream number | bytes after this field | run (run.ts)
 *
 * Every number is a varint. Lane numbers are the shard's; stream number and lane name make a block readable without its
 * `state.db`.
 */
import { type Item, readRun, type Run, runBytes, writeRun } from "../../encoding/run.ts";
import { ByteReader } from "../../encoding/byte-reader.ts";
import { GrowingWriter } from "../../encoding/byte-writer.ts";

export type BlockPart = { lane: number; streamNo: number; run: Run };

/** Builds one block after another in the same memory. */
export class BlockWriter {
  readonly #out = new GrowingWriter(64 * 1024);
  readonly #run = new GrowingWriter(64 * 1024);

  get length(): number {
    return this.#out.pos;
  }

  /** Adds `items[from, to)` of a lane; `to` is where they reach `bytesMax`, at least one further. Returns `to`. */
  add(lane: number, streamNo: number, name: string, items: Item[], from: number, bytesMax: number): number {
    let to = from;
    for (let room = bytesMax - this.#out.pos; to < items.length && (to === from || room > 0); to++) {
      room -= runBytes(items[to]!);
    }
    this.#run.reset();
    writeRun(this.#run, name, from === 0 && to === items.length ? items : items.slice(from, to));
    this.#out.varint(lane);
    this.#out.varint(streamNo);
    this.#out.varint(this.#run.pos);
    this.#out.copy(this.#run.bytes, 0, this.#run.pos);
    return to;
  }

  /** The block so far, valid until the next `add`; the writer starts over. */
  finish(): Buffer {
    const block = this.#out.written();
    this.#out.reset();
    return block;
  }
}

/** The run of a lane in a block, undefined when there is none. @throws RangeError where the bytes are not a block. */
export function findRun(block: Buffer, lane: number): Run | undefined {
  const reader = new ByteReader(block);
  while (reader.pos < block.length) {
    const found = reader.varint();
    reader.varint();
    const bytes = reader.varint();
    const at = reader.skip(bytes);
    if (found === lane) return readRun(block, at, reader.pos);
  }
  return undefined;
}

/** All runs of a block. @throws RangeError where the bytes are not a block. */
export function readBlockParts(block: Buffer): BlockPart[] {
  const reader = new ByteReader(block);
  const parts: BlockPart[] = [];
  while (reader.pos < block.length) {
    const lane = reader.varint();
    const streamNo = reader.varint();
    const bytes = reader.varint();
    const at = reader.skip(bytes);
    parts.push({ lane, streamNo, run: readRun(block, at, reader.pos) });
  }
  return parts;
}
