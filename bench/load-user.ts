/**
 * One user of the load: sends to its peer, confirms the peer's messages, and counts. A message is *delivered* when the
 * receipt that covers it is back: all five frames are done. Receipts are cumulative in the sender's own numbering,
 * which `sent` tells.
 *
 * Frames are searched for keys and not parsed. Inside a JSON string a quote is always escaped, so `"seq":` cannot be
 * found in a text. One message in SAMPLE is parsed in full and compared with what the peer must have sent.
 */
import { WebSocketClient, type FrameHandler } from "./websocket-client.ts";

/** Sends of one user that may be undelivered at once. */
export const UNDELIVERED_MAX = 2048;
const MASK = UNDELIVERED_MAX - 1;
const SAMPLE = 64;
const REF_PREFIX = "b1-";

export type SharedTexts = { lines: string[]; tails: Buffer[] };

export type LoadSink = {
  now(): number;
  /** `startedAt` is the argument of `send`. */
  onDelivered(user: LoadUser, startedAt: number): void;
  onFailure(reason: string): void;
};

export function shareTexts(lines: string[]): SharedTexts {
  return { lines, tails: lines.map((line) => Buffer.from(`${JSON.stringify(line)}}`)) };
}

export class LoadUser implements FrameHandler {
  peer!: LoadUser;
  sent = 0;
  delivered = 0;
  received = 0;
  private socket!: WebSocketClient;
  private readonly startedAt = new Float64Array(UNDELIVERED_MAX);
  private readonly ackedSeq = new Float64Array(UNDELIVERED_MAX);
  private readonly ackedSend = new Int32Array(UNDELIVERED_MAX);
  private acked = 0;
  private highestReceipt = 0;
  private lastSeqReceived = 0;
  private welcomed: (() => void) | undefined;

  constructor(
    readonly name: string,
    private readonly token: string,
    private readonly firstText: number,
    private readonly texts: SharedTexts,
    private readonly sink: LoadSink,
  ) {}

  /** Resolves with `welcome`. After `close` it may be called again: refs, seqs and counts go on. */
  async connect(hostname: string, port: number): Promise<void> {
    const welcome = new Promise<void>((resolve) => (this.welcomed = resolve));
    this.socket = new WebSocketClient(hostname, port, this);
    await this.socket.connect();
    await welcome;
  }

  get undelivered(): number {
    return this.sent - this.delivered;
  }

  /** Puts one `send` into the socket's output; `flush` lets it go. */
  send(startedAt: number): void {
    const send = this.sent++;
    if (send - this.delivered >= UNDELIVERED_MAX) {
      this.sink.onFailure(
        `${this.name} has ${UNDELIVERED_MAX} undelivered messages: the server does not keep up with the rate`,
      );
      return;
    }
    this.startedAt[send & MASK] = startedAt;
    const tail = this.texts.tails[(this.firstText + send) % this.texts.tails.length] as Buffer;
    this.socket.write(`{"t":"send","ref":"${REF_PREFIX}${send}","to":"@${this.peer.name}","text":`, tail);
  }

  flush(): void {
    this.socket.flush();
  }

  /** Describes the state for the error of a failed run. */
  describe(): string {
    const waitsFor = this.delivered < this.acked ? this.ackedSeq[this.delivered & MASK] : undefined;
    return (
      `${this.name} sent ${this.sent}, ${this.acked} acked, ${this.peer.received} received by ${this.peer.name}, ` +
      `${this.delivered} delivered; receipts up to seq ${this.highestReceipt}, waits for ${waitsFor ?? "acks"}`
    );
  }

  ping(): void {
    this.socket.write('{"t":"ping"}');
    this.socket.flush();
  }

  close(): void {
    this.socket.close();
  }

  onOpen(): void {
    this.socket.write(JSON.stringify({ t: "hello", token: this.token }));
  }

  onText(text: string, input: Buffer, start: number, end: number): void {
    const type = text.startsWith('{"t":"') ? 6 : text.indexOf('"t":"') + 5;
    if (text.startsWith('message"', type)) this.onMessage(text, input, start, end);
    else if (text.startsWith('sent"', type)) this.onSent(text);
    else if (text.startsWith('receipt"', type)) this.onReceipt(text);
    else if (text.startsWith('welcome"', type)) this.welcomed?.();
    else if (!text.startsWith('pong"', type) && !text.startsWith('live"', type))
      this.sink.onFailure(`${this.name} got ${text.slice(0, 300)}`);
  }

  onChunkEnd(): void {}

  onClose(reason: string): void {
    this.sink.onFailure(`${this.name}: ${reason}`);
  }

  private onMessage(text: string, input: Buffer, start: number, end: number): void {
    const seq = numberAfter(text, '"seq":');
    if (seq <= this.lastSeqReceived) this.sink.onFailure(`${this.name} got seq ${seq} after ${this.lastSeqReceived}`);
    this.lastSeqReceived = seq;
    if (this.received % SAMPLE === 0) this.compare(JSON.parse(input.toString("utf8", start, end)) as { text: string });
    this.received++;
    this.socket.write(`{"t":"received","seq":${seq}}`);
  }

  private compare(message: { text: string }): void {
    const expected = this.texts.lines[(this.peer.firstText + this.received) % this.texts.lines.length];
    if (message.text === expected) return;
    this.sink.onFailure(
      `${this.name}: message ${this.received} of ${this.peer.name} is ${JSON.stringify(message.text)}, not ${JSON.stringify(expected)}`,
    );
  }

  private onSent(text: string): void {
    const seq = numberAfter(text, '"seq":');
    const send = numberAfter(text, `"ref":"${REF_PREFIX}`);
    this.ackedSeq[this.acked & MASK] = seq;
    this.ackedSend[this.acked & MASK] = send;
    this.acked++;
    if (seq <= this.highestReceipt) this.confirm();
  }

  private onReceipt(text: string): void {
    if (!text.includes('"kind":"delivered"')) return;
    const seq = numberAfter(text, '"seq":');
    if (seq <= this.highestReceipt) return;
    this.highestReceipt = seq;
    this.confirm();
  }

  private confirm(): void {
    while (this.delivered < this.acked && (this.ackedSeq[this.delivered & MASK] as number) <= this.highestReceipt) {
      const send = this.ackedSend[this.delivered & MASK] as number;
      this.delivered++;
      this.sink.onDelivered(this, this.startedAt[send & MASK] as number);
    }
  }
}

/** The digits after `key`; NaN when there are none. */
function numberAfter(text: string, key: string): number {
  const found = text.indexOf(key);
  if (found < 0) return Number.NaN;
  let value = 0;
  let at = found + key.length;
  for (let digit = text.charCodeAt(at) - 48; digit >= 0 && digit <= 9; digit = text.charCodeAt(++at) - 48)
    value = value * 10 + digit;
  return value;
}
