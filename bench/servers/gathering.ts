/** Sends the gathered frames of all sockets, once the current turn of the event loop has read all input. */
import type { ServerWebSocket } from "bun";

/** `frames`: those of this turn. */
export type Gathered = { frames: string[] };

export class Gathering<Data extends Gathered> {
  #waiting: ServerWebSocket<Data>[] = [];
  #emptied: ServerWebSocket<Data>[] = [];

  push(ws: ServerWebSocket<Data>, frame: string): void {
    if (ws.data.frames.push(frame) === 1 && this.#waiting.push(ws) === 1) setImmediate(this.#flush);
  }

  readonly #flush = (): void => {
    const waiting = this.#waiting;
    this.#waiting = this.#emptied;
    for (const ws of waiting) {
      const { frames } = ws.data;
      if (frames.length === 1) ws.sendText(frames[0]!);
      else ws.cork(sendAll);
      frames.length = 0;
    }
    waiting.length = 0;
    this.#emptied = waiting;
  };
}

function sendAll(ws: ServerWebSocket<Gathered>): void {
  for (const frame of ws.data.frames) ws.sendText(frame);
}
