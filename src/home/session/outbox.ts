/**
 * The bounded send queue of one socket. Frames gather during one turn of the event loop and leave together, in one
 * write to the kernel. Frames that go to very many sockets may gather for longer (outbox-flusher.ts); a frame that may
 * not takes them along, so all frames leave in the order in which they were pushed.
 *
 * A client that does not read fills the queue. At `bytesMax` it is closed with 4001 and catches up by its cursor (G9).
 * No frame is lost silently: if the runtime drops or refuses a frame, the session ends too.
 */
import type { ClientSocket } from "./client-socket.ts";
import type { OutboxFlusher } from "./outbox-flusher.ts";

/** Results of `sendText` for a frame that was not written. Otherwise it returns the bytes written. */
const DROPPED = 0;
const QUEUED = -1;

export type OutboxOwner = {
  overflowed(): void;
  /** The client has not read everything: `queuedBytes` has risen. */
  queued(): void;
  /** The runtime threw: some frames are lost, and nothing may be sent after them. */
  failed(error: unknown): void;
};

export class Outbox {
  readonly #socket: ClientSocket;
  readonly #flusher: OutboxFlusher;
  readonly #bytesMax: number;
  readonly #owner: OutboxOwner;
  #frames: string[] = [];
  /** The array of the flush before, reused by the next: most sockets flush one or two frames a turn. */
  #emptied: string[] = [];
  /** Whether all of `#frames` may gather for longer. */
  #mayGather = false;
  #isClosed = false;

  constructor(socket: ClientSocket, flusher: OutboxFlusher, bytesMax: number, owner: OutboxOwner) {
    this.#socket = socket;
    this.#flusher = flusher;
    this.#bytesMax = bytesMax;
    this.#owner = owner;
  }

  /** @param mayGather the frame may wait for others a little longer than this turn */
  push(frame: string, mayGather = false): void {
    if (this.#isClosed) return;
    const isFirst = this.#frames.push(frame) === 1;
    if (!isFirst && (mayGather || !this.#mayGather)) return;
    this.#mayGather = mayGather;
    if (mayGather) this.#flusher.addGathering(this);
    else this.#flusher.add(this);
  }

  /** Bytes that the runtime holds because the client does not read. */
  get queuedBytes(): number {
    return this.#isClosed ? 0 : this.#socket.getBufferedAmount();
  }

  get #unreadBytes(): number {
    return this.#socket.getUnreadAmount?.() ?? this.#socket.getBufferedAmount();
  }

  flush(): void {
    const frames = this.#frames;
    if (this.#isClosed || frames.length === 0) return;
    this.#frames = this.#emptied;
    this.#mayGather = false;
    try {
      this.#check(frames.length === 1 ? this.#socket.sendText(frames[0]!) : this.#sendTogether(frames));
    } catch (error) {
      this.close();
      this.#owner.failed(error);
    }
    frames.length = 0;
    this.#emptied = frames;
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#frames = [];
  }

  /** @returns a result as of `sendText`, for all frames: only after the cork is it known how many bytes are queued */
  #sendTogether(frames: string[]): number {
    let isDropped = false;
    this.#socket.cork(() => {
      // Nothing may follow a dropped frame: the client would not notice the hole.
      isDropped = frames.some((frame) => this.#socket.sendText(frame) === DROPPED);
    });
    if (isDropped) return DROPPED;
    return this.#socket.getBufferedAmount() > 0 ? QUEUED : 1;
  }

  /** @param result of `sendText` */
  #check(result: number): void {
    if (result > 0) return;
    if (result === DROPPED || this.#unreadBytes > this.#bytesMax) this.#owner.overflowed();
    else this.#owner.queued();
  }
}
