/**
 * What waits to be sent over a link: a queue for each priority, each with a bound in bytes. The queues take turns, the
 * more urgent ones with larger shares, so none of them starves.
 *
 * Packets wait here as they are. What is written has already left the queue, and is in the wire's own buffer, which is
 * kept short: so an urgent packet waits for little.
 */
import { GrowingWriter } from "../../../storage/encoding/byte-writer.ts";
import { PIECE_BYTES_MAX, writePiece } from "./packets.ts";
import { PRIORITIES, PRIORITY, type Priority } from "./priority.ts";

/** Bytes that may wait, by priority. A link whose packets do not fit is closed. */
export const QUEUE_BYTES_MAX: Readonly<Record<Priority, number>> = {
  0: 4 << 20,
  1: 64 << 20,
  2: 256 << 20,
  3: 64 << 20,
};
/**
 * Who sends in bulk waits while so much does. Several moves that have waited go on at once, each with a packet: so it is
 * far below what closes the link.
 */
export const BULK_ROOM_BYTES = 1 << 20;

type InTurn = Exclude<Priority, typeof PRIORITY.control>;

/** What each priority may send in its turn. Control packets always go first. */
const SHARES: Readonly<Record<InTurn, number>> = {
  1: 4 * PIECE_BYTES_MAX,
  2: 2 * PIECE_BYTES_MAX,
  3: PIECE_BYTES_MAX,
};

const AFTER: Readonly<Record<InTurn, InTurn>> = { 1: 2, 2: 3, 3: 1 };

/** A list with its beginning cut off, so that the first is taken without moving the others. */
type Queue = { packets: Uint8Array[]; first: number; sentOfFirst: number; bytes: number };

export class SendQueues {
  readonly #queues: readonly Queue[] = PRIORITIES.map(() => ({ packets: [], first: 0, sentOfFirst: 0, bytes: 0 }));
  #bytes = 0;
  #turn: InTurn = PRIORITY.messages;
  #turnLeft = SHARES[PRIORITY.messages];

  get bytes(): number {
    return this.#bytes;
  }

  bytesOf(priority: Priority): number {
    return this.#queues[priority]!.bytes;
  }

  hasRoom(priority: Priority, bytes: number): boolean {
    const { bytes: waiting } = this.#queues[priority]!;
    return waiting === 0 || waiting + bytes <= QUEUE_BYTES_MAX[priority];
  }

  add(priority: Priority, packet: Uint8Array): void {
    const queue = this.#queues[priority]!;
    queue.packets.push(packet);
    queue.bytes += packet.length;
    this.#bytes += packet.length;
  }

  /** The next message for the wire, about `bytesMax` long. Undefined if nothing waits. */
  take(bytesMax: number): Buffer | undefined {
    if (this.#isEmpty) return undefined;
    const out = new GrowingWriter(Math.min(bytesMax, this.#bytes) + 64);
    while (out.pos < bytesMax && !this.#isEmpty) {
      this.#write(out, PRIORITY.control, bytesMax - out.pos);
      if (out.pos < bytesMax) this.#writeTurn(out, bytesMax - out.pos);
    }
    return out.written();
  }

  /** The turn goes on over several messages of the wire: a share may be larger than one. */
  #writeTurn(out: GrowingWriter, bytesMax: number): void {
    this.#turnLeft -= this.#write(out, this.#turn, Math.min(this.#turnLeft, bytesMax));
    const { packets, first } = this.#queues[this.#turn]!;
    if (this.#turnLeft > 0 && first < packets.length) return;
    this.#turn = AFTER[this.#turn];
    this.#turnLeft = SHARES[this.#turn];
  }

  get #isEmpty(): boolean {
    return this.#queues.every(({ packets, first }) => first === packets.length);
  }

  /** Writes packets of one priority, up to its share; at least a piece. @returns what was written of the share */
  #write(out: GrowingWriter, priority: Priority, share: number): number {
    const queue = this.#queues[priority]!;
    let left = share;
    while (left > 0 && queue.first < queue.packets.length) {
      const packet = queue.packets[queue.first]!;
      const from = queue.sentOfFirst;
      const to = Math.min(packet.length, from + PIECE_BYTES_MAX);
      const hasMore = to < packet.length;
      writePiece(out, priority, packet.subarray(from, to), hasMore);
      left -= to - from + 1;
      queue.bytes -= to - from;
      this.#bytes -= to - from;
      queue.sentOfFirst = hasMore ? to : 0;
      if (!hasMore) shift(queue);
    }
    return share - left;
  }
}

const COMPACT_AT = 256;

function shift(queue: Queue): void {
  queue.packets[queue.first++] = EMPTY;
  if (queue.first === queue.packets.length) {
    queue.packets.length = 0;
    queue.first = 0;
  } else if (queue.first >= COMPACT_AT && queue.first * 2 >= queue.packets.length) {
    queue.packets.splice(0, queue.first);
    queue.first = 0;
  }
}

const EMPTY = new Uint8Array();
