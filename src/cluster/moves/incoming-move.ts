/**
 * The target's side of a move. It asks for the shard, and when it is nearly through with what the source has, for the
 * end of the source's ownership. With the record of that in hand, and every record before it, it begins its own.
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
  reason,
  through,
  unpackBytes,
  wanted,
  type MoveKind,
  type MovePacket,
} from "./move-packets.ts";
import type { MovedHere, MoveStorage } from "./move-storage.ts";

const AGAIN_MS = 10;
/** Without any news from the source for so long, the move has failed. */
const SILENT_MS = 30_000;

export type MoveState = "asked" | "copying" | "placing" | "following" | "releasing" | "done" | "failed";

export class IncomingMove {
  readonly link: Link;
  readonly shard: ShardId;
  readonly startedAtMs: number;
  state: MoveState = "asked";
  /** Bytes of the files, and how many have come. */
  size = 0;
  copied = 0;
  /** How long nobody wrote to the shard, ms. */
  pauseMs: number | undefined;
  why: string | undefined;
  readonly #id: number;
  readonly #clock: Clock;
  readonly #here: MovedHere;
  readonly #onEnd: () => void;
  #durableThrough = 0;
  #lastThrough: number | undefined;
  #releasedAtMs = 0;
  #heardAtMs: number;
  #isBeginning = false;
  #isPlacing = false;
  #cancel: () => void = () => {};

  constructor(link: Link, shard: ShardId, id: number, storage: MoveStorage, clock: Clock, onEnd: () => void) {
    this.link = link;
    this.shard = shard;
    this.#id = id;
    this.#clock = clock;
    this.#onEnd = onEnd;
    this.startedAtMs = this.#heardAtMs = clock.monotonicMs();
    this.#here = storage.here(shard);
  }

  get isOver(): boolean {
    return this.state === "done" || this.state === "failed";
  }

  /** It still works on the shard's files, perhaps after it has failed: no other move of the shard may begin. */
  get isBusy(): boolean {
    return !this.isOver || this.#isPlacing;
  }

  /** @param rate bytes a second of the files */
  begin(rate: number): void {
    this.#send(MOVE.want, encodeMessage(wanted, { rate }));
    this.#look();
  }

  came({ kind, body }: MovePacket): void {
    if (this.isOver) return;
    this.#heardAtMs = this.#clock.monotonicMs();
    try {
      this.#handle(kind, body);
    } catch (error) {
      this.fail(error);
    }
  }

  #handle(kind: MoveKind, body: Buffer): void {
    switch (kind) {
      case MOVE.header:
        this.size = decodeMessage(header, body).size;
        this.state = "copying";
        return;
      case MOVE.chunk: {
        const bytes = unpackBytes(body);
        this.copied += bytes.length;
        return this.#here.write(bytes);
      }
      case MOVE.copied:
        return void this.#place();
      case MOVE.records:
        return this.#here.records(unpackBytes(body), {
          durable: (last) => this.#durable(last),
          failed: (error) => this.fail(error),
        });
      case MOVE.notYet:
        // Also said while the source makes its copy, so that its silence means something.
        if (this.state !== "releasing") return;
        this.state = "following";
        return this.#releaseLater();
      case MOVE.released:
        this.#lastThrough = decodeMessage(through, body);
        return this.#beginIfWhole();
      case MOVE.failed:
        return this.#failed(decodeMessage(reason, body));
      default:
        throw new RangeError(`a packet of kind ${kind} is for no target of a move`);
    }
  }

  /** In its last step a move cannot fail from without: the record that begins the ownership is on its way. */
  fail(error: unknown): void {
    if (this.#isBeginning) return;
    const why = error instanceof Error ? error.message : String(error);
    this.#send(MOVE.failed, encodeMessage(reason, why));
    this.#failed(why);
  }

  #failed(why: string): void {
    if (this.isOver) return;
    this.state = "failed";
    this.why = why;
    this.#end();
  }

  #end(): void {
    this.#cancel();
    this.#here.end();
    this.#onEnd();
  }

  async #place(): Promise<void> {
    this.state = "placing";
    this.#isPlacing = true;
    try {
      this.#durableThrough = await this.#here.place();
      if (this.isOver) return;
      this.state = "following";
      this.#send(MOVE.ready, encodeMessage(through, this.#durableThrough));
      this.#releaseLater();
    } catch (error) {
      this.fail(error);
    } finally {
      this.#isPlacing = false;
    }
  }

  #releaseLater(): void {
    this.#clock.after(AGAIN_MS, () => {
      if (this.state !== "following") return;
      this.state = "releasing";
      this.#releasedAtMs = this.#clock.monotonicMs();
      this.#send(MOVE.release);
    });
  }

  #durable(last: number): void {
    if (this.isOver) return;
    this.#durableThrough = Math.max(this.#durableThrough, last);
    this.#send(MOVE.taken, encodeMessage(through, this.#durableThrough));
    this.#beginIfWhole();
  }

  #beginIfWhole(): void {
    if (this.#lastThrough === undefined || this.#durableThrough < this.#lastThrough || this.#isBeginning) return;
    this.#isBeginning = true;
    this.#here.begin().then(
      () => {
        this.state = "done";
        this.pauseMs = this.#clock.monotonicMs() - this.#releasedAtMs;
        this.#end();
      },
      (error: unknown) => {
        this.#isBeginning = false;
        this.fail(error);
      },
    );
  }

  #look(): void {
    this.#cancel = this.#clock.after(SILENT_MS / 10, () => {
      if (this.isOver) return;
      const isSilent = this.#clock.monotonicMs() - this.#heardAtMs > SILENT_MS;
      if (isSilent && this.state !== "placing")
        return this.fail(new Error(`nothing was heard of it for ${SILENT_MS} ms`));
      this.#look();
    });
  }

  #send(kind: MoveKind, body?: Uint8Array): void {
    this.link.send(PRIORITY.bulk, encodeMove(kind, this.#id, this.shard, body));
  }
}
