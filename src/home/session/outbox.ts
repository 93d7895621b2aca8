/**
 * The bounded send queue of one socket. Frames gather during one turn of the event loop and leave together, in one write to the kernel.
 *
 * A client that does not read fills the queue; at `bytesMax` it is told off with 4001 and catches up by cursor (G9). Nothing is dropped silently: a frame
 * that the runtime drops, or does not take, ends the session too.
 */
import type { ClientSocket } from "./client-socket.ts";
import type { OutboxFlusher } from "./outbox-flusher.ts";

/** What `sendText` says of a frame that it did not write, but for the bytes of one that it did. */
const DROPPED = 0;
const QUEUED = -1;

export class Outbox {
  readonly #socket: ClientSocket;
  readonly #flusher: OutboxFlusher;
  readonly #bytesMax: number;
  readonly #onOverflow: () => void;
  readonly #onQueued: () => void;
  readonly #onFailed: (error: unknown) => void;
  #frames: string[] = [];
  /** The array of the flush before, to be filled next: most sockets flush one or two frames a turn, for ever. */
  #emptied: string[] = [];
  #isClosed = false;

  /**
   * @param onQueued told when the client has not read all of it: `queuedBytes` has risen
   * @param onFailed told when the runtime threw: some frames are lost, and nothing may go out behind them
   */
  constructor(
    socket: ClientSocket,
    flusher: OutboxFlusher,
    bytesMax: number,
    onOverflow: () => void,
    onQueued: () => void,
    onFailed: (error: unknown) => void,
  ) {
    this.#socket = socket;
    this.#flusher = flusher;
    this.#bytesMax = bytesMax;
    this.#onOverflow = onOverflow;
    this.#onQueued = onQueued;
    this.#onFailed = onFailed;
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
    try {
      this.#check(frames.length === 1 ? this.#socket.sendText(frames[0]!) : this.#sendTogether(frames));
    } catch (error) {
      this.close();
      this.#onFailed(error);
    }
    frames.length = 0;
    this.#emptied = frames;
  }

  /** Nothing more is sent. */
  close(): void {
    this.#isClosed = true;
    this.#frames = [];
  }

  /** @returns what `sendText` says, of all of them: what they have queued is known behind the cork */
  #sendTogether(frames: string[]): number {
    let isDropped = false;
    this.#socket.cork(() => {
      // Nothing goes out behind one that was dropped: the client would take the hole for a whole stream.
      isDropped = frames.some((frame) => this.#socket.sendText(frame) === DROPPED);
    });
    if (isDropped) return DROPPED;
    return this.#socket.getBufferedAmount() > 0 ? QUEUED : 1;
  }

  /** `result` is what `sendText` says. */
  #check(result: number): void {
    if (result > 0) return;
    if (result === DROPPED || this.#socket.getBufferedAmount() > this.#bytesMax) this.#onOverflow();
    else this.#onQueued();
  }
}
