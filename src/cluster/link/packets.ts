/**
 * What a link sends over its wire. Each message of the wire is a row of pieces:
 *
 *     piece     u8 priority | 0x80 if more of the packet follows, varint bytes, bytes
 *
 * A packet is one message of a priority. A long one is cut into pieces, so that packets of other priorities can pass
 * between them. Pieces of one priority are in order.
 */
import { ByteReader } from "../../../storage/encoding/byte-reader.ts";
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { PRIORITIES, type Priority } from "./priority.ts";

/** The most that a packet may have. Messages between shards have the same bound (home/messages/codec). */
export const PACKET_BYTES_MAX = (32 << 20) + 1024;
/** With what a link writes at once, below the longest message that a server's WebSockets accept. */
export const PIECE_BYTES_MAX = 32 << 10;
const MORE = 0x80;

export function writePiece(out: GrowingWriter, priority: Priority, bytes: Uint8Array, hasMore: boolean): void {
  out.varint(hasMore ? priority | MORE : priority);
  out.varint(bytes.length);
  out.copy(bytes, 0, bytes.length);
}

/** Puts pieces together again. */
export class PacketReader {
  readonly #onPacket: (priority: Priority, packet: Buffer) => void;
  readonly #parts: Buffer[][] = PRIORITIES.map(() => []);
  readonly #bytes: number[] = PRIORITIES.map(() => 0);

  constructor(onPacket: (priority: Priority, packet: Buffer) => void) {
    this.#onPacket = onPacket;
  }

  /** @throws RangeError for bytes that no link sends */
  read(message: Buffer): void {
    const from = new ByteReader(message);
    while (from.pos < from.end) {
      const head = from.varint();
      const priority = PRIORITIES[head & ~MORE];
      if (priority === undefined || head > 0xff) throw new RangeError(`${head} begins no piece of a packet`);
      const start = from.skip(lengthOf(from));
      this.#piece(priority, message.subarray(start, from.pos), (head & MORE) !== 0);
    }
  }

  #piece(priority: Priority, bytes: Buffer, hasMore: boolean): void {
    const parts = this.#parts[priority]!;
    if (!hasMore && parts.length === 0) return this.#onPacket(priority, bytes);
    if (hasMore && bytes.length === 0) throw new RangeError("a piece of a packet has no bytes, and more is to follow");
    const total = (this.#bytes[priority]! += bytes.length);
    if (total > PACKET_BYTES_MAX) throw new RangeError(`a packet of more than ${PACKET_BYTES_MAX} bytes`);
    parts.push(bytes);
    if (hasMore) return;
    this.#parts[priority] = [];
    this.#bytes[priority] = 0;
    this.#onPacket(priority, Buffer.concat(parts));
  }
}

function lengthOf(from: ByteReader): number {
  const bytes = from.varint();
  if (bytes <= from.end - from.pos) return bytes;
  throw new RangeError(`a piece of ${bytes} bytes where ${from.end - from.pos} are left`);
}
