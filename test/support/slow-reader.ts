/** A device that reads only when told to: the WebSocket handshake and frames by hand on a TCP socket, because every client library reads at once. */
import { connect, type Socket } from "node:net";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { ByeFrame, ServerFrame } from "../../src/protocol/frames.ts";
import type { DeviceCursor } from "./device.ts";
import { faultsSettled } from "./settled-faults.ts";
import { until, within } from "./wait.ts";

const TEXT = 1;
const CLOSE = 8;
const PING = 9;

export class SlowReader {
  readonly frames: ServerFrame[] = [];
  /** Of the close frame. */
  closeCode: number | undefined;
  isGone = false;
  readonly #socket: Socket;
  #bytes = Buffer.alloc(0);
  #isOpen = false;

  /** Connected and said hello; reading until `pause`. */
  static async connect(port: number, who: Credentials, cursor?: DeviceCursor): Promise<SlowReader> {
    await faultsSettled();
    const reader = new SlowReader(port);
    await until("the upgrade is done", () => reader.#isOpen);
    reader.send({ t: "hello", token: who.token, ...(cursor === undefined ? {} : { cursor }) });
    return reader;
  }

  private constructor(port: number) {
    this.#socket = connect(port, "127.0.0.1");
    this.#socket.on("data", (data: Buffer) => this.#came(data));
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => (this.isGone = true));
    const head = ["GET /v1/ws HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"];
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
    this.#socket.write([...head, `Sec-WebSocket-Key: ${key}`, "Sec-WebSocket-Version: 13", "", ""].join("\r\n"));
  }

  get bye(): ByeFrame | undefined {
    return this.frames.find((frame) => frame.t === "bye");
  }

  send(frame: object): void {
    this.#write(TEXT, Buffer.from(JSON.stringify(frame)));
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  async take(t: ServerFrame["t"]): Promise<void> {
    await until(`${t} has come`, () => this.frames.some((frame) => frame.t === t));
  }

  /** Reads to the end of the connection. */
  async end(): Promise<void> {
    this.resume();
    await until("the connection has ended", () => this.isGone);
  }

  async destroy(): Promise<void> {
    if (this.isGone) return;
    const gone = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.destroy();
    await within("the connection to be gone", gone);
  }

  #write(opcode: number, payload: Buffer): void {
    const length = Buffer.alloc(8);
    length.writeUInt16BE(payload.length, 2);
    const isShort = payload.length < 126;
    length[0] = 0x80 | opcode;
    length[1] = 0x80 | (isShort ? payload.length : 126);
    // The mask is all zeros: the payload stands as it is.
    this.#socket.write(Buffer.concat([length.subarray(0, isShort ? 2 : 4), Buffer.alloc(4), payload]));
  }

  #came(data: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    if (!this.#isOpen) {
      const end = this.#bytes.indexOf("\r\n\r\n");
      if (end === -1) return;
      this.#isOpen = true;
      this.#bytes = this.#bytes.subarray(end + 4);
    }
    let at = 0;
    for (;;) {
      const frame = frameAt(this.#bytes, at);
      if (frame === undefined) break;
      at = frame.end;
      this.#frame(frame.opcode, frame.payload);
    }
    this.#bytes = this.#bytes.subarray(at);
  }

  #frame(opcode: number, payload: Buffer): void {
    if (opcode === TEXT) this.frames.push(JSON.parse(payload.toString()) as ServerFrame);
    else if (opcode === PING) this.#write(10, payload);
    else if (opcode === CLOSE) {
      this.closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#write(CLOSE, payload.subarray(0, 2));
      this.#socket.end();
    }
  }
}

/** A whole frame of a server: never masked, never in pieces. */
function frameAt(bytes: Buffer, at: number): { opcode: number; payload: Buffer; end: number } | undefined {
  if (bytes.length < at + 2) return undefined;
  const opcode = bytes[at]! & 15;
  let length = bytes[at + 1]! & 127;
  let from = at + 2;
  if (length === 126) {
    if (bytes.length < from + 2) return undefined;
    length = bytes.readUInt16BE(from);
    from += 2;
  } else if (length === 127) {
    if (bytes.length < from + 8) return undefined;
    length = Number(bytes.readBigUInt64BE(from));
    from += 8;
  }
  if (bytes.length < from + length) return undefined;
  return { opcode, payload: bytes.subarray(from, from + length), end: from + length };
}
