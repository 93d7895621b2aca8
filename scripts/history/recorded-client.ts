/** Records what the SDK sends and gets: `new ParleyClient({ …, ...recordedClient(recorder, who) })`. */
import type { Fetch, Method } from "../../src/client/http-request.ts";
import type { SocketConstructor, SocketLike } from "../../src/client/socket-transport.ts";
import type { Client } from "./format.ts";
import type { HistoryRecorder } from "./recorder.ts";

const NORMAL_CLOSURE = 1000;

type Platform = { WebSocket: SocketConstructor; fetch: Fetch };

const PLATFORM: Platform = {
  WebSocket: globalThis.WebSocket,
  fetch: (url, init) => globalThis.fetch(url, init),
};

export function recordedClient(
  recorder: HistoryRecorder,
  client: Client,
  { node, platform = PLATFORM }: { node?: string; platform?: Platform } = {},
): Platform {
  return {
    WebSocket: recordedSocket(recorder, client, platform.WebSocket, node),
    fetch: recordedFetch(recorder, client, platform.fetch, node),
  };
}

export function recordedFetch(recorder: HistoryRecorder, client: Client, fetch: Fetch, node?: string): Fetch {
  return async (url, init) => {
    const { pathname, search } = new URL(url);
    const body: unknown = init.body === undefined ? undefined : JSON.parse(init.body);
    const call = recorder.call(client, init.method as Method, pathname + search, body, node);
    try {
      const response = await fetch(url, init);
      const text = await response.text();
      call.answered(response.status, text === "" ? undefined : JSON.parse(text));
      const { status, headers } = response;
      return new Response(text === "" ? null : text, { status, headers });
    } catch (error) {
      call.lost();
      throw error;
    }
  };
}

/** A constructor whose sockets belong to this client. */
export function recordedSocket(
  recorder: HistoryRecorder,
  client: Client,
  Socket: SocketConstructor,
  node?: string,
): SocketConstructor {
  return class implements SocketLike {
    onopen: SocketLike["onopen"] = null;
    onmessage: SocketLike["onmessage"] = null;
    onclose: SocketLike["onclose"] = null;
    onerror: SocketLike["onerror"] = null;
    readonly #socket: SocketLike;
    readonly #connection = recorder.connection(client, node);

    constructor(url: string, protocols?: string[]) {
      this.#socket = protocols === undefined ? new Socket(url) : new Socket(url, protocols);
      this.#socket.onopen = (event) => this.onopen?.(event);
      this.#socket.onerror = (event) => this.onerror?.(event);
      this.#socket.onmessage = (event) => {
        // Once its handler is gone, the client gets nothing any more.
        if (this.onmessage === null) return;
        this.#connection.got(String(event.data));
        this.onmessage(event);
      };
      this.#socket.onclose = (event) => {
        this.#connection.closed(event.code, event.reason);
        this.onclose?.(event);
      };
    }

    get readyState(): number {
      return this.#socket.readyState;
    }

    send(data: string): void {
      this.#connection.sent(data);
      this.#socket.send(data);
    }

    close(code = NORMAL_CLOSURE, reason = ""): void {
      this.#connection.closed(code, reason);
      this.#socket.close(code, reason);
    }
  };
}
