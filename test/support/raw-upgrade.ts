/** A client that opens a WebSocket by hand and does only what it is told: it reads or not, and answers no close, of the protocol's or of TCP. */
import { connect, type Socket } from "node:net";
import { until } from "./wait.ts";

const TEXT = 0x81;
const BINARY = 0x82;
const CLOSE = 0x88;
const PING = Buffer.of(0x89, 0x80, 0, 0, 0, 0);

export class RawUpgrade {
  came = "";
  isClosed = false;
  readonly #socket: Socket;

  /** @param headers lines beside those of an upgrade */
  constructor(port: number, headers: string[] = []) {
    this.#socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.#socket.on("data", (data: Buffer) => (this.came += data.toString("latin1")));
    this.#socket.on("error", () => undefined);
    this.#socket.on("close", () => (this.isClosed = true));
    const head = ["GET /v1/ws HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", ...headers];
    const rest = ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Version: 13", "", ""];
    this.#socket.write([...head, ...rest].join("\r\n"));
  }

  /** @returns the status of the upgrade */
  async answer(): Promise<number> {
    await until("the upgrade is answered", () => this.came.includes("\r\n\r\n") || this.isClosed);
    return Number(this.came.split(" ")[1] ?? 0);
  }

  /** As the kernel names it to the server. */
  get peer(): string {
    return `127.0.0.1 ${this.#socket.localPort}`;
  }

  say(frame: object): void {
    this.#write(TEXT, Buffer.from(JSON.stringify(frame)));
  }

  /** No frame of the protocol: the server closes. */
  sayNonsense(): void {
    this.#write(BINARY, Buffer.alloc(0));
  }

  sayClose(code: number): void {
    this.#write(CLOSE, Buffer.of(code >> 8, code & 255));
  }

  /** So many pings of the protocol, in one piece. */
  ping(count: number): void {
    this.#socket.write(Buffer.alloc(PING.length * count, PING));
  }

  #write(first: number, payload: Buffer): void {
    const { length } = payload;
    const long = length < 126 ? [] : [length >> 8, length & 255];
    const head = Buffer.from([first, 128 | (length < 126 ? length : 126), ...long, 0, 0, 0, 0]);
    this.#socket.write(Buffer.concat([head, payload]));
  }

  pause(): void {
    this.#socket.pause();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
