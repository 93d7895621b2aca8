/**
 * A user of the Socket.IO server in the load. It speaks the protocols of Engine.IO 4 and Socket.IO 5 on the bench's own
 * WebSocket, because socket.io-client would cost more than the server. A message is *delivered* when the sender has the
 * ack of its `send` and the `receipt`. Ids rise, and receipts come in the order of the acks.
 */
import { numberAfter } from "../../load/number-after.ts";
import { Talker, UNDELIVERED_MAX, type LoadSink } from "../../load/talker.ts";
import { WebSocketClient, type FrameHandler } from "../../load/websocket-client.ts";

export type SocketIoTexts = { lines: string[]; tails: Buffer[] };

const PATH = "/socket.io/?EIO=4&transport=websocket";
const MASK = UNDELIVERED_MAX - 1;

export function shareSocketIoTexts(lines: string[]): SocketIoTexts {
  return { lines, tails: lines.map((line) => Buffer.from(`${JSON.stringify(line)}}]`)) };
}

export class SocketIoUser extends Talker implements FrameHandler {
  #socket!: WebSocketClient;
  #connected: (() => void) | undefined;
  #acked = 0;
  readonly #ackedId = new Float64Array(UNDELIVERED_MAX);
  #lastIdReceived = 0;

  constructor(
    name: string,
    firstText: number,
    private readonly texts: SocketIoTexts,
    sink: LoadSink,
  ) {
    super(name, firstText, texts.lines, sink);
  }

  async connect(hostname: string, port: number): Promise<void> {
    const connected = new Promise<void>((resolve) => (this.#connected = resolve));
    this.#socket = new WebSocketClient(hostname, port, this, PATH);
    await this.#socket.connect();
    await connected;
  }

  flush(): void {
    this.#socket.flush();
  }

  close(): void {
    this.#socket.close();
  }

  /** The server pings. */
  ping(): void {}

  describe(): string {
    return (
      `${this.name} sent ${this.sent}, ${this.#acked} acked, ${this.peer.received} received by ${this.peer.name}, ` +
      `${this.delivered} receipts`
    );
  }

  protected write(send: number): void {
    const tail = this.texts.tails[this.textOf(send)] as Buffer;
    this.#socket.write(`42${send}["send",{"to":"${this.peer.name}","text":`, tail);
  }

  onOpen(): void {}

  onText(text: string, input: Buffer, start: number, end: number): void {
    if (text.startsWith("43")) this.#onAck(text);
    else if (text.startsWith('42["receipt",')) this.#onReceipt(numberAfter(text, ","));
    else if (text.startsWith("42")) this.#onMessage(text, input, start, end);
    else if (text.startsWith("40")) this.#connected?.();
    else if (text.startsWith("0"))
      this.#socket.write(`40${JSON.stringify({ user: this.name, after: this.#lastIdReceived })}`);
    else if (text === "2") this.#socket.write("3");
    else this.sink.onFailure(`${this.name} got ${text.slice(0, 300)}`);
  }

  onChunkEnd(): void {}

  onClose(reason: string): void {
    this.sink.onFailure(`${this.name}: ${reason}`);
  }

  /** `43SEND[{"id":5}]` */
  #onAck(text: string): void {
    const id = numberAfter(text, '"id":');
    if (numberAfter(text, "43") !== this.#acked || Number.isNaN(id))
      this.sink.onFailure(`${this.name} got ${text.slice(0, 300)}, not the ack of ${this.#acked}`);
    this.#ackedId[this.#acked++ & MASK] = id;
  }

  /** `42ACK["message",{"id":5,…}]` */
  #onMessage(text: string, input: Buffer, start: number, end: number): void {
    const id = numberAfter(text, '"id":');
    if (!(id > this.#lastIdReceived)) this.sink.onFailure(`${this.name} got id ${id} after ${this.#lastIdReceived}`);
    this.#lastIdReceived = id;
    if (this.isSample) {
      const [, message] = JSON.parse(input.toString("utf8", start + text.indexOf("["), end)) as [
        string,
        { text: string },
      ];
      this.compare(message.text);
    }
    this.received++;
    this.#socket.write(`43${numberAfter(text, "42")}[]`);
  }

  #onReceipt(id: number): void {
    if (this.delivered < this.#acked && this.#ackedId[this.delivered & MASK] === id) this.confirmed(this.delivered);
    else this.sink.onFailure(`${this.name} got the receipt of id ${id}, which is not the next one`);
  }
}
