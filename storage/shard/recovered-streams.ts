/**
 * Finds the streams of records that are read back by the bytes of their names, without making a string of each: a log
 * names the same few streams again and again. A cache of fixed size; a stream that is not in it is looked up by name.
 */
import type { Memtable, MemStream } from "./memtable.ts";
import { isStr8 } from "../encoding/byte-reader.ts";
import { nameSlot } from "../encoding/known-names.ts";

const SLOTS = 1 << 12;

export class RecoveredStreams {
  readonly #slots: (MemStream | undefined)[] = Array.from({ length: SLOTS });

  /** @param at of the length of the name */
  find(table: Memtable, bytes: Uint8Array, at: number): MemStream | undefined {
    const mem = this.#slots[nameSlot(bytes, at, SLOTS)];
    return mem !== undefined && mem.table === table && isStr8(bytes, at, mem.name) ? mem : undefined;
  }

  add(bytes: Uint8Array, at: number, mem: MemStream): MemStream {
    this.#slots[nameSlot(bytes, at, SLOTS)] = mem;
    return mem;
  }
}
