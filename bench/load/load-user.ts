/**
 * A user of Parley in the load, or of the floor. A message is *delivered* when the receipt that covers it is back: all
 * five frames are done. Receipts are cumulative in the sender's own numbering, which `sent` tells.
 *
 * Frames are searched for keys and not parsed. Inside a JSON string a quote is always escaped, so `"seq":` cannot be
 * found in a text.
 */
import { numberAfter } from "./number-after.ts";
import { Talker, UNDELIVERED_MAX, type LoadSink } from "./talker.ts";
import { WebSocketClient, type FrameHandler } from "./websocket-client.ts";

const MASK = UNDELIVERED_MAX - 1;
const REF_PREFIX = "b1-";

export type SharedTexts = { lines: string[]; tails: Buffer[] };

export function shareTexts(lines: string[]): SharedTexts {
  return { lines, tails: lines.map((line) => Buffer.from(`${JSON.stringify(line)}}`)) };
}

export class LoadUser extends Talker implements FrameHandler {
  private socket!: WebSocketClient;
  private readonly ackedSeq = new Float64Array(UNDELIVERED_MAX);
  private readonly ackedSend = new Int32Array(UNDELIVERED_MAX);
  private acked = 0;
  private highestReceipt = 0;
  private lastSeqReceived = 0;
  private welcomed: (() => void) | undefined;

  constructor(
    name: string,
    private readonly token: string,
    firstText: number,
    private readonly texts: SharedTexts,
    sink: LoadSink,
  ) {
    super(name, firstText, texts.lines, sink);
  }

  /** Resolves with `welcome`. After `close` it may be called again: refs, seqs and counts go on. */
  async connect(hostname: string, port: number): Promise<void> {
    const welcome = new Promise<void>((resolve) => (this.welcomed = resolve));
    this.socket = new WebSocketClient(hostname, port, this);
    await this.socket.connect();
    await welcome;
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

  protected write(send: number): void {
    const tail = this.texts.tails[this.textOf(send)] as Buffer;
    this.socket.write(`{"t":"send","ref":"${REF_PREFIX}${send}","to":"@${this.peer.name}","text":`, tail);
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
    if (this.isSample) this.compare((JSON.parse(input.toString("utf8", start, end)) as { text: string }).text);
    this.received++;
    this.socket.write(`{"t":"received","seq":${seq}}`);
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
      this.confirmed(this.ackedSend[this.delivered & MASK] as number);
    }
  }
}
