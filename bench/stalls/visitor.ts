/** A client that makes one request and waits for the answer. */
import type { ClientFrame, Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import { withTimeout } from "../servers/server-process.ts";

const WAIT_MS = 60_000;

/** The cursor of a device that has nothing, so that it gets everything. */
export const FROM_THE_BEGINNING: Cursor = { epoch: "", timeline: 0, groups: {}, marks: 0 };

export class Visitor {
  readonly #socket: WebSocket;
  /** Frames that came and were not awaited yet, by type. */
  readonly #came = new Map<string, number>();
  #wake = (): void => {};

  /** Says hello and waits for `welcome`, or with a cursor for `live`. */
  static async hello(url: string, { token }: Credentials, cursor?: Cursor): Promise<Visitor> {
    const visitor = new Visitor(new WebSocket(`${url.replace("http", "ws")}/v1/ws`));
    await new Promise((resolve) => visitor.#socket.addEventListener("open", resolve));
    visitor.send(cursor === undefined ? { t: "hello", token } : { t: "hello", token, cursor });
    await visitor.next(cursor === undefined ? "welcome" : "live");
    return visitor;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const { t } = JSON.parse(String(data)) as ServerFrame;
      this.#came.set(t, (this.#came.get(t) ?? 0) + 1);
      this.#wake();
    });
  }

  send(frame: ClientFrame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  async next(t: ServerFrame["t"], count = 1): Promise<void> {
    while ((this.#came.get(t) ?? 0) < count) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve));
      await withTimeout(woken, WAIT_MS, `${count} × ${t} did not come`);
    }
    this.#came.set(t, this.#came.get(t)! - count);
  }

  /** Waits until the server has answered everything that was sent. */
  answered(): Promise<void> {
    this.send({ t: "ping" });
    return this.next("pong");
  }

  leave(): void {
    this.#socket.close();
  }
}

type Answer = Record<string, unknown>;

/** @returns the server's answer, {} if it is empty */
export const call = (url: string, { token }: Credentials, method: string, path: string, body?: unknown) =>
  ask(url + path, method, { authorization: `Bearer ${token}` }, body);

/** Makes a call as the operator. */
export const keyed = (url: string, apiKey: string, method: string, path: string, body?: unknown) =>
  ask(url + path, method, { "x-api-key": apiKey }, body);

async function ask(url: string, method: string, headers: Record<string, string>, body: unknown): Promise<Answer> {
  const request: RequestInit = { method, headers: { ...headers, connection: "close" } };
  if (body !== undefined) request.body = JSON.stringify(body);
  const response = await fetch(url, request);
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text.slice(0, 200)}`);
  return text === "" ? {} : (JSON.parse(text) as Answer);
}
