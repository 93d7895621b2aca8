/**
 * The source's side of a move: sends the files, then every record as it becomes durable, and in the end the record that
 * ends this node's ownership.
 *
 * A crash, or the end of the link, leaves the shard here, unless that last record is durable: then it waits here for
 * the target to ask again.
 */
import type { Clock } from "../../base/clock.ts";
import { decodeMessage, encodeMessage } from "../../home/messages/codec/codec.ts";
import type { ShardId } from "../../../storage/types.ts";
import type { Link } from "../link/link.ts";
import { PRIORITY } from "../link/priority.ts";
import {
  encodeMove,
  header,
  MOVE,
  packBytes,
  reason,
  through,
  type MoveKind,
  type MovePacket,
} from "./move-packets.ts";
import type { MovedAway, MoveStorage } from "./move-storage.ts";

const PRESENT_MS = 5000;
const CHUNK_BYTES = 256 << 10;
/** A piece takes at most a few seconds, so that the target hears of the source. */
const RATE_MIN = 64 << 10;
const RECORDS_BYTES = 128 << 10;
/** With less than this under way, the target has the rest within milliseconds. */
const NEAR_BYTES = 128 << 10;
/** Records that wait for a target that is slower than the shard. Beyond it the move fails, and is begun again. */
const WAITING_BYTES_MAX = 64 << 20;

export class OutgoingMove {
  readonly link: Link;
  readonly shard: ShardId;
  readonly #id: number;
  readonly #storage: MoveStorage;
  readonly #clock: Clock;
  readonly #rate: number;
  readonly #onEnd: () => void;
  #away: MovedAway | undefined;
  #isSending = false;
  /** Records go to the target from now on. */
  #isFollowed = false;
  #sentThroughBytes = 0;
  #isReleased = false;
  #isEnded = false;

  /** @param rate bytes a second of the files */
  constructor(
    link: Link,
    { move, shard }: MovePacket,
    rate: number,
    storage: MoveStorage,
    clock: Clock,
    onEnd: () => void,
  ) {
    this.link = link;
    this.shard = shard;
    this.#id = move;
    this.#rate = Math.max(RATE_MIN, rate);
    this.#storage = storage;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  async run(): Promise<void> {
    try {
      this.#sayPresent();
      const away = (this.#away = await this.#storage.away(this.shard, this.link.peer.node));
      if (this.#isEnded) return away.end();
      this.#send(MOVE.header, encodeMessage(header, { size: away.size, through: away.through }));
      for (let at = 0; at < away.size && !this.#isEnded; at += CHUNK_BYTES) {
        await this.link.bulkRoom();
        this.#send(MOVE.chunk, packBytes(away.read(at, Math.min(CHUNK_BYTES, away.size - at))));
        await this.#pause((CHUNK_BYTES * 1000) / this.#rate);
      }
      this.#send(MOVE.copied);
    } catch (error) {
      this.fail(error);
    }
  }

  /** A large shard takes minutes to copy: the target hears that this node is at it. */
  #sayPresent(): void {
    this.#clock.after(PRESENT_MS, () => {
      if (this.#away !== undefined || this.#isEnded) return;
      this.#send(MOVE.notYet);
      this.#sayPresent();
    });
  }

  came({ kind, body }: MovePacket): void {
    // The target speaks once it has the files; before, it can only give up.
    if (this.#away === undefined && kind !== MOVE.failed) return;
    switch (kind) {
      case MOVE.ready:
        this.#isFollowed = true;
        this.#away!.onRecords = () => this.#records();
        return this.#records();
      case MOVE.taken:
        this.#sentThroughBytes = 0;
        decodeMessage(through, body);
        return;
      case MOVE.release:
        return void this.#release();
      case MOVE.failed:
        return this.end();
      default:
        throw new RangeError(`a packet of kind ${kind} is for no source of a move`);
    }
  }

  fail(error: unknown): void {
    if (this.#isEnded) return;
    this.#send(MOVE.failed, encodeMessage(reason, error instanceof Error ? error.message : String(error)));
    this.end();
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#away?.end();
    this.#onEnd();
  }

  #records(): void {
    if (this.#isSending || !this.#isFollowed || this.#isEnded) return;
    this.#isSending = true;
    this.#sendRecords()
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#isSending = false;
        if (!this.#isEnded && this.#away!.waitingBytes > 0) this.#records();
      });
  }

  async #sendRecords(): Promise<void> {
    for (;;) {
      if (this.#away!.waitingBytes > WAITING_BYTES_MAX)
        throw new Error(`${this.#away!.waitingBytes} bytes of records wait: the target is too slow`);
      await this.link.bulkRoom();
      const records = this.#isEnded ? undefined : this.#away!.takeRecords(RECORDS_BYTES);
      if (records === undefined) return;
      this.#sentThroughBytes += records.length;
      this.#send(MOVE.records, packBytes(records));
    }
  }

  async #release(): Promise<void> {
    if (this.#isReleased || this.#isEnded) return;
    if (this.#away!.waitingBytes + this.#sentThroughBytes > NEAR_BYTES) return this.#send(MOVE.notYet);
    this.#isReleased = true;
    try {
      const last = await this.#away!.release();
      await this.#sendRecords();
      this.#send(MOVE.released, encodeMessage(through, last));
    } catch (error) {
      this.fail(error);
    }
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#clock.after(ms, resolve);
    await promise;
  }

  #send(kind: MoveKind, body?: Uint8Array): void {
    if (!this.#isEnded) this.link.send(PRIORITY.bulk, encodeMove(kind, this.#id, this.shard, body));
  }
}
