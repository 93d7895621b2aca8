/**
 * Writes the history of the clients of this process. What a client sends is written before it leaves, what it gets when
 * it comes, so the order of the lines is an order in which things can have happened.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { Method } from "../../src/client/http-request.ts";
import { HISTORY_FORMAT, type Client, type Header, type HistoryLine, type WireFrame } from "./format.ts";

const CHUNK_CHARACTERS = 256 * 1024;

export type Sink = { write(text: string): void; close(): void };

export class HistoryRecorder {
  readonly #sink: Sink;
  readonly #now: () => number;
  readonly #beganMs: number;
  #text = "";
  #connections = 0;
  #calls = 0;
  #hasEnded = false;

  constructor(sink: Sink, header: Partial<Omit<Header, "history">> = {}, now: () => number = () => performance.now()) {
    this.#sink = sink;
    this.#now = now;
    this.#beganMs = now();
    this.#text = `${JSON.stringify({ history: HISTORY_FORMAT, order: "total", isComplete: false, ...header })}\n`;
  }

  /** Nothing is recorded behind the `end`, such as the closing of connections that comes after it. */
  end(settled: boolean): void {
    this.write({ is: "end", settled });
    this.#hasEnded = true;
    this.#flush();
    this.#sink.close();
  }

  connection(client: Client, node?: string): RecordedConnection {
    const c = ++this.#connections;
    this.write({ is: "open", c, user: client.user, device: client.device, ...(node === undefined ? {} : { node }) });
    return new RecordedConnection(this, c);
  }

  /** @returns what the answer is told to */
  call(client: Client, method: Method, path: string, body?: unknown, node?: string): RecordedCall {
    const call = ++this.#calls;
    const { user, device } = client;
    const line = { is: "call" as const, call, user, device, method, path, body: withoutSecrets(body) };
    this.write(node === undefined ? line : { ...line, node });
    return {
      answered: (status, answer) => this.write({ is: "answer", call, status, body: withoutSecrets(answer) }),
      lost: () => this.write({ is: "lost", call }),
    };
  }

  write(line: HistoryLine): void {
    if (this.#hasEnded) return;
    this.#text += `${JSON.stringify({ at: Math.round((this.#now() - this.#beganMs) * 10) / 10, ...line })}\n`;
    if (this.#text.length >= CHUNK_CHARACTERS) this.#flush();
  }

  #flush(): void {
    this.#sink.write(this.#text);
    this.#text = "";
  }
}

export type RecordedCall = { answered(status: number, body: unknown): void; lost(): void };

export class RecordedConnection {
  readonly #recorder: HistoryRecorder;
  readonly #c: number;
  #isClosed = false;

  constructor(recorder: HistoryRecorder, c: number) {
    this.#recorder = recorder;
    this.#c = c;
  }

  /** @param text of the frame, before it is sent */
  sent(text: string): void {
    const frame = frameOf(text);
    if (!this.#isClosed)
      this.#recorder.write({ is: "out", c: this.#c, frame: typeof frame === "string" ? frame : tokenless(frame) });
  }

  got(text: string): void {
    if (!this.#isClosed) this.#recorder.write({ is: "in", c: this.#c, frame: frameOf(text) });
  }

  /** Once; nothing is recorded of the connection afterwards. */
  closed(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#recorder.write({ is: "close", c: this.#c, code, reason });
  }
}

export function fileSink(path: string): Sink {
  const file = openSync(path, "w");
  return { write: (text) => void writeSync(file, text), close: () => closeSync(file) };
}

function frameOf(text: string): WireFrame | string {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as WireFrame) : text;
  } catch {
    return text;
  }
}

const SECRETS = ["token", "password"];

function withoutSecrets(body: unknown): unknown {
  if (typeof body !== "object" || body === null || !SECRETS.some((name) => name in body)) return body;
  return Object.fromEntries(Object.entries(body).filter(([name]) => !SECRETS.includes(name)));
}

const tokenless = (frame: WireFrame): WireFrame => (frame.t === "hello" ? (withoutSecrets(frame) as WireFrame) : frame);
