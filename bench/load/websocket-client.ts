/**
 * The client's side of a WebSocket (RFC 6455) on a raw TCP socket, only for load: no fragments, no compression, and a
 * mask of zero, which the server handles as any other. Frames of one chunk leave in one write. It costs a fraction of a
 * full client, so that the server is what is measured.
 */
import type { Socket } from "bun";
import { OutputBuffer } from "./output-buffer.ts";

export type FrameHandler = {
  onOpen(): void;
  /**
   * One text frame: decoded as latin1 (keys and numbers are ASCII), and its bytes for reading the text of a message.
   */
  onText(text: string, input: Buffer, start: number, end: number): void;
  /** All frames of a chunk have been handed over. */
  onChunkEnd(): void;
  onClose(reason: string): void;
};

const TEXT = 0x81;
const PONG = 0x8a;
const EMPTY = Buffer.alloc(0);

export class WebSocketClient {
  private socket: Socket<undefined> | undefined;
  private input: Buffer = EMPTY;
  private readonly output = new OutputBuffer();
  private isUpgraded = false;
  private isClosed = false;

  constructor(
    private readonly hostname: string,
    private readonly port: number,
    private readonly handler: FrameHandler,
    private readonly path = "/v1/ws",
  ) {}

  async connect(): Promise<void> {
    this.socket = await Bun.connect<undefined>({
      hostname: this.hostname,
      port: this.port,
      socket: {
        data: (_, chunk) => this.onData(chunk),
        drain: () => this.flush(),
        close: () => this.closed("the server closed the connection"),
        error: (_, error) => this.closed(error.message),
      },
    });
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
    this.socket.write(
      `GET ${this.path} HTTP/1.1\r\nHost: ${this.hostname}:${this.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
    );
  }

  /**
   * Appends a text frame to the output; `flush` sends it. `body` is text that needs no escaping, `tail` the UTF-8 bytes
   * after it.
   */
  write(body: string, tail: Buffer = EMPTY): void {
    this.frame(TEXT, body, tail);
  }

  flush(): void {
    this.output.flush(this.socket);
  }

  close(): void {
    this.isClosed = true;
    this.socket?.end();
  }

  private frame(opcode: number, body: string, tail: Buffer): void {
    const length = body.length + tail.length;
    const out = this.output;
    out.reserve(length + 8);
    out.byte(opcode);
    if (length < 126) {
      out.byte(0x80 | length);
    } else {
      out.byte(0x80 | 126);
      out.byte(length >>> 8);
      out.byte(length & 255);
    }
    for (let mask = 0; mask < 4; mask++) out.byte(0);
    out.latin1(body);
    out.bytes(tail);
  }

  private onData(chunk: Buffer): void {
    const input = this.input.length === 0 ? chunk : Buffer.concat([this.input, chunk]);
    let at = 0;
    if (!this.isUpgraded) {
      at = this.upgraded(input);
      if (at < 0) {
        this.input = Buffer.from(input);
        return;
      }
    }
    at = this.readFrames(input, at);
    // The runtime may reuse its receive buffer, so the rest is copied.
    this.input = at === input.length ? EMPTY : Buffer.from(input.subarray(at));
    this.handler.onChunkEnd();
    this.flush();
  }

  /** Position after the upgrade's answer, or -1 while it is not all there. */
  private upgraded(input: Buffer): number {
    const end = input.indexOf("\r\n\r\n");
    if (end < 0) return -1;
    const status = input.toString("latin1", 0, Math.min(end, 40));
    this.isUpgraded = true;
    if (status.startsWith("HTTP/1.1 101")) this.handler.onOpen();
    else this.closed(`the upgrade was answered with ${status.split("\r\n")[0]}`);
    return end + 4;
  }

  private readFrames(input: Buffer, from: number): number {
    let at = from;
    while (at + 2 <= input.length) {
      let length = input[at + 1] as number;
      let start = at + 2;
      if (length === 126) {
        if (at + 4 > input.length) break;
        length = input.readUInt16BE(at + 2);
        start = at + 4;
      } else if (length === 127) {
        if (at + 10 > input.length) break;
        length = Number(input.readBigUInt64BE(at + 2));
        start = at + 10;
      }
      const end = start + length;
      if (end > input.length) break;
      this.onFrame(input[at] as number, input, start, end);
      at = end;
    }
    return at;
  }

  private onFrame(opcode: number, input: Buffer, start: number, end: number): void {
    if (opcode === TEXT) this.handler.onText(input.toString("latin1", start, end), input, start, end);
    else if (opcode === 0x89) this.frame(PONG, input.toString("latin1", start, end), EMPTY);
    else if (opcode === 0x88) this.closed(`closed with ${end - start >= 2 ? input.readUInt16BE(start) : 1005}`);
    else if (opcode !== 0x8a) this.closed(`a frame with opcode ${opcode} was not expected`);
  }

  private closed(reason: string): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.onClose(reason);
    this.socket?.end();
  }
}
