/**
 * A link between this node and one other, after their handshake: packets in four priorities, in order within each, at
 * most once. What was under way is lost when the link ends; the messages above it are made for that.
 *
 * Invariants
 * - Packets are written in the turn after they were added, all of one turn together.
 * - At most about `WIRE_BYTES_MAX` are in the wire's buffer, so an urgent packet is not behind megabytes of others.
 * - A link ends when the other node has sent nothing for `SILENT_MS`, takes nothing for `STALLED_MS`, or when the queue
 *   of a priority is full that has no other answer to that. So nothing waits for ever.
 */
import type { Clock } from "../../base/clock.ts";
import { PACKET_BYTES_MAX, PacketReader } from "./packets.ts";
import { PRIORITY, type Priority } from "./priority.ts";
import { BULK_ROOM_BYTES, SendQueues } from "./send-queues.ts";
import type { Introduction } from "./handshake.ts";
import type { Wire } from "./wire.ts";

const WIRE_BYTES_MAX = 512 << 10;
/** Of one message of the wire, which may be longer by a piece. */
const WRITE_BYTES = 64 << 10;
const BEAT_MS = 1000;
export const SILENT_MS = 5000;
const STALLED_MS = 10_000;

/** A control packet without bytes says only that the node is there. */
const BEAT = new Uint8Array();

export type LinkEvents = {
  packet(link: Link, priority: Priority, packet: Buffer): void;
  /** Called once. @param why for the server's log */
  closed(link: Link, why: string): void;
};

export class Link {
  readonly peer: Introduction;
  readonly #wire: Wire;
  readonly #clock: Clock;
  readonly #events: LinkEvents;
  readonly #queues = new SendQueues();
  readonly #packets = new PacketReader((priority, packet) => this.#packet(priority, packet));
  #isScheduled = false;
  #isClosed = false;
  #heardAt: number;
  /** When the wire last took something, or had nothing to take. */
  #movedAt: number;
  #buffered = 0;
  #hasSentSinceBeat = false;
  #cancelBeat: () => void = () => {};
  readonly #waitingForRoom: (() => void)[] = [];

  constructor(peer: Introduction, wire: Wire, clock: Clock, events: LinkEvents) {
    this.peer = peer;
    this.#wire = wire;
    this.#clock = clock;
    this.#events = events;
    this.#heardAt = this.#movedAt = clock.monotonicMs();
    this.#beatLater();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Bytes of a priority that wait. */
  waiting(priority: Priority): number {
    return this.#queues.bytesOf(priority);
  }

  /**
   * Sends a packet. The bytes must not change afterwards.
   * @returns false if the link is closed, which it may be because of this packet: its queue was full
   */
  send(priority: Priority, packet: Uint8Array): boolean {
    if (this.#isClosed) return false;
    if (packet.length > PACKET_BYTES_MAX) throw new RangeError(`a packet of ${packet.length} bytes`);
    if (!this.#queues.hasRoom(priority, packet.length)) {
      this.close(`the queue of priority ${priority} is full`);
      return false;
    }
    this.#queues.add(priority, packet);
    this.#schedule();
    return true;
  }

  /** Resolves when the queue of bulk packets has room, or the link is closed. */
  async bulkRoom(): Promise<void> {
    while (!this.#isClosed && this.waiting(PRIORITY.bulk) >= BULK_ROOM_BYTES) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waitingForRoom.push(resolve);
      await promise;
    }
  }

  close(why: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelBeat();
    this.#wire.close();
    this.#tellRoom();
    this.#events.closed(this, why);
  }

  // ---- from the wire

  received(message: Buffer): void {
    if (this.#isClosed) return;
    this.#heardAt = this.#clock.monotonicMs();
    try {
      this.#packets.read(message);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.close(`the other node sent what is no packet: ${error.message}`);
    }
  }

  drained(): void {
    this.#movedAt = this.#clock.monotonicMs();
    this.#schedule();
  }

  // ---- sending

  #packet(priority: Priority, packet: Buffer): void {
    if (priority === PRIORITY.control && packet.length === 0) return;
    if (!this.#isClosed) this.#events.packet(this, priority, packet);
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isClosed) return;
    this.#isScheduled = true;
    setImmediate(this.#write);
  }

  readonly #write = (): void => {
    this.#isScheduled = false;
    while (!this.#isClosed && this.#wire.bufferedBytes < WIRE_BYTES_MAX) {
      const bytes = this.#queues.take(WRITE_BYTES);
      if (bytes === undefined) break;
      this.#hasSentSinceBeat = true;
      if (!this.#wire.send(bytes)) return this.close("the connection ended");
    }
    this.#tellRoom();
  };

  #tellRoom(): void {
    for (const resolve of this.#waitingForRoom.splice(0)) resolve();
  }

  // ---- whether the other node is there

  #beatLater(): void {
    this.#cancelBeat = this.#clock.after(BEAT_MS, () => {
      this.#beatLater();
      this.#beat();
    });
  }

  #beat(): void {
    const now = this.#clock.monotonicMs();
    const buffered = this.#wire.bufferedBytes;
    if (buffered === 0 || buffered < this.#buffered) this.#movedAt = now;
    this.#buffered = buffered;
    if (now - this.#heardAt > SILENT_MS) return this.close(`the other node was silent for ${SILENT_MS} ms`);
    if (now - this.#movedAt > STALLED_MS) return this.close(`the other node took nothing for ${STALLED_MS} ms`);
    if (!this.#hasSentSinceBeat) this.send(PRIORITY.control, BEAT);
    this.#hasSentSinceBeat = false;
    // A drain may have been missed.
    if (this.#queues.bytes > 0) this.#schedule();
  }
}
