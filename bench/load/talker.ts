/**
 * One user of the load, whatever the protocol: sends to its peer, confirms the peer's messages, and counts. Each server
 * has its own subclass. A message is *delivered* when the sender has what its protocol says about that.
 */

/** Sends of one user that may be undelivered at once. */
export const UNDELIVERED_MAX = 2048;
const MASK = UNDELIVERED_MAX - 1;
const SAMPLE = 64;

export type LoadSink = {
  now(): number;
  /** `startedAt` is the argument of `send`. */
  onDelivered(user: Talker, startedAt: number): void;
  onFailure(reason: string): void;
};

export abstract class Talker {
  peer!: Talker;
  sent = 0;
  delivered = 0;
  received = 0;
  readonly #startedAt = new Float64Array(UNDELIVERED_MAX);

  /** The nth message of this user has the text `lines[(firstText + n) % lines.length]`. */
  constructor(
    readonly name: string,
    protected readonly firstText: number,
    protected readonly lines: string[],
    protected readonly sink: LoadSink,
  ) {}

  /** Resolves when it can send. After `close` it may be called again: numbers and counts continue. */
  abstract connect(hostname: string, port: number): Promise<void>;
  abstract close(): void;
  abstract ping(): void;
  /** Lets go what `send` put into the socket's output. */
  abstract flush(): void;
  /** Describes the state for the error of a failed run. */
  abstract describe(): string;
  /** Puts the send with this number into the socket's output. */
  protected abstract write(send: number): void;

  get undelivered(): number {
    return this.sent - this.delivered;
  }

  send(startedAt: number): void {
    const send = this.sent++;
    if (send - this.delivered >= UNDELIVERED_MAX) {
      this.sink.onFailure(
        `${this.name} has ${UNDELIVERED_MAX} undelivered messages: the server does not keep up with the rate`,
      );
      return;
    }
    this.#startedAt[send & MASK] = startedAt;
    this.write(send);
  }

  protected textOf(send: number): number {
    return (this.firstText + send) % this.lines.length;
  }

  /** Whether the next message of the peer is parsed in full and given to `compare`. */
  protected get isSample(): boolean {
    return this.received % SAMPLE === 0;
  }

  protected compare(text: string): void {
    const expected = this.lines[this.peer.textOf(this.received)];
    if (text === expected) return;
    this.sink.onFailure(
      `${this.name}: message ${this.received} of ${this.peer.name} is ${JSON.stringify(text)}, not ${JSON.stringify(expected)}`,
    );
  }

  protected confirmed(send: number): void {
    this.delivered++;
    this.sink.onDelivered(this, this.#startedAt[send & MASK] as number);
  }
}
