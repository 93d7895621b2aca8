/** Of the sends of one connection to one log: an ack may not have a lower seq than that of a send before it. */
import type { Ack, Try } from "../guarantee.ts";

type Sent = { index: number; seq: number; line: number; ref: string };
/** `open`: sends without an answer. `acked`: those behind the first of them. `low`: the highest of those before it. */
type Queue = { open: Set<number>; acked: Sent[]; low: Sent | undefined };

export class SendOrder {
  readonly #connections = new Map<number, Map<string, Queue>>();
  readonly #report: (lines: number[], problem: string) => void;

  constructor(report: (lines: number[], problem: string) => void) {
    this.#report = report;
  }

  tried({ turn }: Try): void {
    if (turn !== undefined) this.#queue(turn).open.add(turn.index);
  }

  answered({ turn }: Try): void {
    if (turn === undefined) return;
    const queue = this.#queue(turn);
    queue.open.delete(turn.index);
    this.#settle(queue);
  }

  acked({ tried, seq, isDuplicate, line }: Ack): void {
    const { turn, send } = tried;
    if (turn === undefined) return;
    const queue = this.#queue(turn);
    queue.open.delete(turn.index);
    // A duplicate was committed at another time than its turn.
    if (!isDuplicate) this.#place(queue, { index: turn.index, seq, line, ref: send.ref });
    this.#settle(queue);
  }

  closed(connection: number): void {
    this.#connections.delete(connection);
  }

  #queue({ connection, log }: { connection: number; log: string }): Queue {
    let logs = this.#connections.get(connection);
    if (logs === undefined) this.#connections.set(connection, (logs = new Map()));
    let queue = logs.get(log);
    if (queue === undefined) logs.set(log, (queue = { open: new Set(), acked: [], low: undefined }));
    return queue;
  }

  #place({ acked, low }: Queue, sent: Sent): void {
    for (const other of low === undefined ? acked : [low, ...acked])
      if (other.index < sent.index !== other.seq < sent.seq) this.#misplaced(other, sent);
    acked.push(sent);
  }

  #misplaced(one: Sent, other: Sent): void {
    const [first, second] = one.index < other.index ? [one, other] : [other, one];
    const problem = `ref ${JSON.stringify(first.ref)} was sent before ${JSON.stringify(second.ref)}, and has seq ${first.seq} behind ${second.seq}`;
    this.#report([first.line, second.line], problem);
  }

  /** Every send before the first open one has its answer, so of these only the highest counts. */
  #settle(queue: Queue): void {
    let first = Infinity;
    for (const index of queue.open) {
      first = index;
      break;
    }
    const still: Sent[] = [];
    for (const sent of queue.acked) {
      if (sent.index > first) still.push(sent);
      else if (queue.low === undefined || sent.seq > queue.low.seq) queue.low = sent;
    }
    queue.acked = still;
  }
}
