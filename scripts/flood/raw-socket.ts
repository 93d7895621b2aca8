/**
 * An attacker's socket: sends as fast as the kernel accepts data, reads or not, and reconnects as often as it is
 * closed.
 */
import type { Socket } from "bun";

const TEXT = 0x81;

/** A masked frame with a mask of zero, as the WebSocket protocol writes it. */
export function frameOf(text: string): Buffer {
  const payload = Buffer.from(text);
  const { length } = payload;
  const head = length < 126 ? [0x80 | length] : length < 65_536 ? [0xfe, length >> 8, length & 255] : longHead(length);
  return Buffer.concat([Buffer.from([TEXT, ...head, 0, 0, 0, 0]), payload]);
}

function longHead(length: number): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return [0xff, ...bytes];
}

const upgradeOf = (url: URL): string =>
  `GET /v1/ws HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n`;

/** Opens a WebSocket and leaves. @returns the status of the answer */
export function upgradeOnce(url: URL): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  Bun.connect({
    hostname: url.hostname,
    port: Number(url.port),
    socket: {
      open: (socket) => void socket.write(upgradeOf(url)),
      data(socket, data) {
        resolve(data.toString("latin1", 9, 12));
        socket.terminate();
      },
      close: () => resolve("none"),
      error: () => resolve("none"),
    },
  }).catch(() => resolve("none"));
  return promise;
}

/** Connects and disconnects. */
export function connectOnce(url: URL): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  Bun.connect({
    hostname: url.hostname,
    port: Number(url.port),
    socket: {
      open(socket) {
        resolve("made");
        socket.terminate();
      },
      data() {},
      error: () => resolve("none"),
    },
  }).catch(() => resolve("none"));
  return promise;
}

export type RawSocketOptions = {
  /** The first frame; undefined: none. */
  hello: string | undefined;
  /** More bytes to send, frames or not. Called whenever the last ones are sent. */
  next: () => Buffer | undefined;
  /** Whether it reads. */
  isReading?: boolean;
  /** Whether it reconnects when it is closed. */
  isStubborn?: boolean;
  /** Milliseconds between two writes; 0: as fast as possible. */
  everyMs?: number;
};

export class RawSocket {
  readonly #url: URL;
  readonly #options: RawSocketOptions;
  #socket: Socket | undefined;
  #rest: Buffer | undefined;
  #isEnded = false;
  #isUpgraded = false;
  bytesSent = 0;
  connections = 0;
  text = "";

  constructor(url: URL, options: RawSocketOptions) {
    this.#url = url;
    this.#options = options;
  }

  async connect(): Promise<void> {
    this.#isUpgraded = false;
    this.#rest = undefined;
    try {
      const socket = await Bun.connect({
        hostname: this.#url.hostname,
        port: Number(this.#url.port),
        socket: {
          data: (_, data) => this.#came(data),
          drain: () => this.#send(),
          close: () => this.#closed(),
          error: () => this.#closed(),
        },
      });
      this.#socket = socket;
      this.connections++;
      socket.write(upgradeOf(this.#url));
    } catch {
      this.#closed();
    }
  }

  end(): void {
    this.#isEnded = true;
    this.#socket?.terminate();
  }

  #came(data: Buffer): void {
    if (this.#isUpgraded) {
      this.text = data.toString("latin1");
      return;
    }
    this.#isUpgraded = true;
    if (this.#options.hello !== undefined) this.#rest = frameOf(this.#options.hello);
    if (this.#options.isReading === false) this.#socket?.pause();
    this.#send();
  }

  #send(): void {
    const socket = this.#socket;
    if (!this.#isUpgraded || socket === undefined) return;
    // Bounded, so that several sockets of one process take turns.
    for (let writes = 0; writes < 64 && !this.#isEnded; writes++) {
      this.#rest ??= this.#options.next();
      if (this.#rest === undefined) return;
      const written = socket.write(this.#rest);
      if (written < 0) return;
      this.bytesSent += written;
      if (written < this.#rest.length) {
        this.#rest = this.#rest.subarray(written);
        return;
      }
      this.#rest = undefined;
      if ((this.#options.everyMs ?? 0) > 0) break;
    }
    setTimeout(() => this.#send(), this.#options.everyMs ?? 0);
  }

  #closed(): void {
    if (this.#isEnded || this.#options.isStubborn !== true) return;
    setTimeout(() => void this.connect(), 10);
  }
}
