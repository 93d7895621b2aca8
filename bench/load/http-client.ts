/**
 * The client's side of HTTP/1.1 on a raw TCP socket, only for load: one request at a time on a connection that stays
 * open, answers with a Content-Length. It costs a fraction of `fetch`.
 */
import type { Socket } from "bun";

export type HttpAnswer = { status: number; body: Buffer };

export class HttpClient {
  readonly #hostname: string;
  readonly #port: number;
  #socket!: Socket<undefined>;
  #input: Buffer = Buffer.alloc(0);
  #waiting: { resolve(answer: HttpAnswer): void; reject(error: Error): void } | undefined;

  static async connect(hostname: string, port: number): Promise<HttpClient> {
    const client = new HttpClient(hostname, port);
    client.#socket = await Bun.connect<undefined>({
      hostname,
      port,
      socket: {
        data: (_, chunk) => client.#onData(chunk),
        close: () => client.#fail("the server closed the connection"),
        error: (_, error) => client.#fail(error.message),
      },
    });
    return client;
  }

  private constructor(hostname: string, port: number) {
    this.#hostname = hostname;
    this.#port = port;
  }

  /** @param body JSON, "" for none */
  request(method: string, path: string, token: string, body = ""): Promise<HttpAnswer> {
    const answered = new Promise<HttpAnswer>((resolve, reject) => (this.#waiting = { resolve, reject }));
    const content =
      body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
    this.#socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: ${this.#hostname}:${this.#port}\r\nAuthorization: Bearer ${token}\r\n${content}\r\n${body}`,
    );
    return answered;
  }

  close(): void {
    this.#waiting = undefined;
    this.#socket.end();
  }

  #fail(reason: string): void {
    this.#waiting?.reject(new Error(reason));
    this.#waiting = undefined;
  }

  #onData(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#input, chunk]);
    const headerEnd = this.#input.indexOf("\r\n\r\n");
    if (headerEnd < 0) return;
    const header = this.#input.toString("latin1", 0, headerEnd);
    const length = /^content-length: (\d+)$/im.exec(header)?.[1];
    if (length === undefined) return this.#fail(`an answer without Content-Length: ${header.slice(0, 200)}`);
    const end = headerEnd + 4 + Number(length);
    if (this.#input.length < end) return;
    const body = this.#input.subarray(headerEnd + 4, end);
    this.#input = Buffer.alloc(0);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status: Number(header.slice(9, 12)), body });
  }
}
