import type { Cursor, Limits, WireMessage } from "../protocol/frames.ts";
import { browserClock, type ClientClock } from "./clock.ts";
import { MemoryCursorStore, type CursorStore } from "./cursor-store.ts";
import type { ClientEvent } from "./events.ts";
import type { Fetch } from "./http.ts";
import type { SocketConstructor } from "./socket-transport.ts";

export type ClientOptions = {
  /** `http://host:port` of any node, or of several: another one is tried when one does not answer. */
  url: string | readonly string[];
  /**
   * Asks where the user lives and connects straight to that node, which saves the way over another one. For clients
   * that reach every node at the URL that the map gives it. Default: false.
   */
  direct?: boolean;
  token: string;
  /** Default: in memory. */
  cursorStore?: CursorStore;
  /** Where a device without a stored cursor starts: with new messages (default), or with the whole history. */
  from?: "now" | "start";
  /** `auto` (default): a socket, or long poll where no socket is available. */
  transport?: "auto" | "socket" | "poll";
  /** Marks first sends with `retry`, too: for programs that run again with the same refs. */
  retryFirst?: boolean;
  /**
   * Called for each message, once and in order. The next one waits for the returned promise. `cursor` includes this
   * message: store both in one transaction to process each message once even through a crash. `cursor` is the client's
   * own object: copy it to keep it, and do not change it. If the callback throws or rejects, the message counts as not
   * delivered: the client resumes, and it comes again.
   */
  onMessage?: (message: WireMessage, cursor: Cursor) => void | Promise<void>;
  onEvent?: (event: ClientEvent) => void;
  /** Sends in flight at once. */
  sendWindow?: number;
  /** Sends that may wait or be in flight. Above it `send` rejects with `unavailable`. */
  outboxMax?: number;
  /**
   * Frames that may wait for a slow `onMessage`. Above it the connection is dropped, and resumed when they are handled.
   */
  inboxMax?: number;
  /**
   * `received` is sent and the cursor saved at most once in this time, or when a stream has `receivedEntriesMax` new
   * entries.
   */
  receivedIntervalMs?: number;
  receivedEntriesMax?: number;
  /** From the start of an attempt to `welcome`. */
  connectTimeoutMs?: number;
  /** The n-th wait is random below `min(backoffMaxMs, backoffBaseMs * 2^n)`. */
  backoffBaseMs?: number;
  backoffMaxMs?: number;
  /** While polling: the first wait before a socket is tried again. */
  socketRetryMs?: number;
  pollWaitMs?: number;
  clock?: ClientClock;
  /** In [0, 1), like `Math.random`. */
  random?: () => number;
  WebSocket?: SocketConstructor;
  fetch?: Fetch;
};

export type Settings = Required<Omit<ClientOptions, "WebSocket" | "url">> & {
  urls: readonly string[];
  WebSocket: SocketConstructor | undefined;
};

export function settingsOf(options: ClientOptions): Settings {
  return {
    direct: false,
    cursorStore: new MemoryCursorStore(),
    from: "now",
    transport: "auto",
    retryFirst: false,
    onMessage: () => {},
    onEvent: () => {},
    sendWindow: 64,
    outboxMax: 10_000,
    inboxMax: 20_000,
    receivedIntervalMs: 50,
    receivedEntriesMax: 64,
    connectTimeoutMs: 10_000,
    backoffBaseMs: 250,
    backoffMaxMs: 30_000,
    socketRetryMs: 1000,
    pollWaitMs: 25_000,
    clock: browserClock,
    random: Math.random,
    fetch: (url, init) => globalThis.fetch(url, init),
    ...options,
    urls: typeof options.url === "string" ? [options.url] : options.url,
    WebSocket: options.WebSocket ?? globalThis.WebSocket,
  };
}

/** Until a `welcome` says otherwise. */
export const ASSUMED_LIMITS: Limits = {
  frameBytesMax: 65_536,
  textBytesMax: 16_384,
  groupMembersMax: 1000,
  groupReceiptsMembersMax: 32,
  sendsPerSecond: 200,
  sendsBurst: 1000,
  resumeEntriesMax: 10_000,
};
