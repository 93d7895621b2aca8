/**
 * The bounded send queue of one socket. Frames gather during one turn of the event loop and leave together, in one write to the kernel.
 *
 * A client that does not read fills the queue; at `bytesMax` it is told off with 4001 and catches up by cursor (G9). Nothing is dropped silently: a frame
 * that the runtime drops ends the session too.
 */
import type { ServerWebSocket } from "bun";
import type { OutboxFlusher } from "./outbox-flusher.ts";

export class Outbox {
  readonly #socket: ServerWebSocket<unknown>;
  readonly #flusher: OutboxFlusher;
  readonly #bytesMax: number;
  readonly #onOverflow: () => void;
  readonly #onQueued: () => void;
  #frames: string[] = [];
  /** The array of the flush before, to be filled next: most sockets flush one or two frames a turn, for ever. */
  #emptied: string[] = [];
  #isClosed = false;

  /** @param onQueued told when the client has not read all of it: `queuedBytes` has risen */
  constructor(
    socket: ServerWebSocket<unknown>,
    flusher: OutboxFlusher,
    bytesMax: number,
    onOverflow: () => void,
    onQueued: () => void,
  ) {
    this.#socket = socket;
    this.#flusher = flusher;
    this.#bytesMax = bytesMax;
    this.#onOverflow = onOverflow;
    this.#onQueued = onQueued;
  }

  push(frame: string): void {
    if (this.#isClosed) return;
    if (this.#frames.push(frame) === 1) this.#flusher.add(this);
  }

  /** Bytes that the runtime holds because the client does not read. */
  get queuedBytes(): number {
    return this.#isClosed ? 0 : this.#socket.getBufferedAmount();
  }

  flush(): void {
    const frames = this.#frames;
    if (this.#isClosed || frames.length === 0) return;
    this.#frames = this.#emptied;
    if (frames.length === 1) this.#check(this.#socket.sendText(frames[0]!));
    else this.#socket.cork(() => this.#sendAll(frames));
    frames.length = 0;
    this.#emptied = frames;
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#frames = [];
  }

  #sendAll(frames: string[]): void {
    let worst = 1;
    for (const frame of frames) {
      worst = Math.min(worst, this.#socket.sendText(frame));
      // Nothing goes out behind one that was dropped: the client would take the hole for a whole stream.
      if (worst === 0) break;
    }
    this.#check(worst);
  }

  /** What `sendText` says: 0 dropped, -1 queued. */
  #check(result: number): void {
    if (result > 0) return;
    if (result === 0 || this.#socket.getBufferedAmount() > this.#bytesMax) this.#onOverflow();
    else this.#onQueued();
  }
}
