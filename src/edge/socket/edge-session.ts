/**
 * A WebSocket at a node of a cluster. Its first frame says who the user is, and so where the user's home is. If that is
 * this node, a session begins here. Otherwise the frames are carried to the home over a channel, as they are, and the
 * session is there.
 *
 *     new ─┬─▶ here      the session decides everything
 *          └─▶ elsewhere   the home decides; here only floods are ended
 *
 * What waits for the client is bounded by the home, which counts what the client has not read. What waits for the home
 * is bounded by the channel.
 */
import type { Clock } from "../../base/clock.ts";
import type { UserId } from "../../domain/address.ts";
import { CLOSE, type CloseCode } from "../../protocol/codes.ts";
import type { ByeFrame } from "../../protocol/frames.ts";
import type { ClientConnection, ClientSocket } from "../../home/session/client-socket.ts";
import { FrameBudget } from "../../home/session/frame-budget.ts";
import type { SocketContext } from "../../home/session/socket-context.ts";
import { SocketSession } from "../../home/session/socket-session.ts";
import { UntoldBytes } from "../../home/session/untold-bytes.ts";
import type { Channel, ChannelEvents, SocketRelay } from "../relay.ts";
import type { SocketEnd } from "./socket-end.ts";

const HELLO_TIMEOUT_MS = 5000;
const LINGER_MS = 5000;
const FLOOD_LINGER_MS = 20;
const COME_BACK_MS = 500;
const SLOW_HOME_MS = 2000;
const GAVE_WAY_RETRY_MS = 10_000;
/** The home hears of what has come and what waits in steps of this size: smaller ones would double the packets. */
const REPORT_BYTES = 16 << 10;

export type EdgeSessionParts = {
  readonly context: SocketContext;
  readonly relay: SocketRelay;
  /** The user of a token by its signature alone; undefined if it is none of this cluster's. */
  signedFor(token: string): UserId | undefined;
};

export class EdgeSession implements SocketEnd, ChannelEvents {
  readonly #socket: ClientSocket;
  readonly #parts: EdgeSessionParts;
  readonly #connection: ClientConnection;
  readonly #clock: Clock;
  #cancelHelloTimeout: () => void;
  /** The session, if the user's home is here. */
  #here: SocketSession | undefined;
  #channel: Channel | undefined;
  #budget: FrameBudget | undefined;
  #untold: UntoldBytes | undefined;
  #isClosed = false;
  #lingerMs = LINGER_MS;
  /** Bytes of frames that have come since the last report, and bytes that waited then. */
  #came = 0;
  #waiting = 0;

  constructor(socket: ClientSocket, parts: EdgeSessionParts, connection: ClientConnection) {
    this.#socket = socket;
    this.#parts = parts;
    this.#connection = connection;
    this.#clock = parts.context.clock;
    this.#cancelHelloTimeout = this.#clock.after(HELLO_TIMEOUT_MS, () => {
      const reason = `no hello within ${HELLO_TIMEOUT_MS} ms`;
      if (!this.#isClosed && this.#channel === undefined) this.#begin().close(CLOSE.protocolError, reason);
    });
  }

  // ---- from the socket

  received(data: string | Buffer): void {
    if (this.#here !== undefined) return this.#here.received(data);
    if (this.#isClosed) return;
    if (this.#channel === undefined) return this.#first(data);
    if (this.#budget!.spend(data.length) === "far-beyond") return this.#farBeyond();
    if (!this.#channel.frame(data)) this.lost(CLOSE.tryLater, "the user's node is too busy", SLOW_HOME_MS);
  }

  heard(bytes: number): void {
    if (this.#here !== undefined) return this.#here.heard(bytes);
    if (this.#isClosed || this.#channel === undefined) return;
    if (this.#budget!.spend(bytes) === "far-beyond") this.#farBeyond();
    else this.#channel.heard(bytes);
  }

  drained(): void {
    if (this.#here !== undefined) return this.#here.drained();
    this.#report();
  }

  hasRead(bytes: number): boolean {
    if (this.#here !== undefined) return this.#here.hasRead(bytes);
    const isFar = this.#untold?.charge(bytes, this.#isClosed) === "far-beyond";
    if (this.#isClosed && (isFar || this.#lingerMs <= FLOOD_LINGER_MS)) return true;
    if (isFar) this.#farBeyond();
    return false;
  }

  get lingerMs(): number {
    return this.#here?.lingerMs ?? this.#lingerMs;
  }

  ended(): void {
    if (this.#here !== undefined) return this.#here.ended();
    this.#end();
  }

  gone(): void {
    this.#here?.gone();
  }

  giveWay(): void {
    if (this.#here === undefined && this.#channel === undefined) return this.#begin().giveWay();
    if (this.#here !== undefined) return this.#here.giveWay();
    this.#lingerMs = FLOOD_LINGER_MS;
    this.close(CLOSE.tryLater, "a user with fewer connections needs the place", GAVE_WAY_RETRY_MS);
  }

  // ---- where the user's home is

  #first(data: string | Buffer): void {
    const user = typeof data === "string" ? this.#userOf(data) : undefined;
    if (user === undefined || this.#parts.relay.isHere(user)) return this.#begin().received(data);
    this.#cancelHelloTimeout();
    const { frameRates } = this.#parts.context;
    // What a client may send in a burst: only a home that stands still leaves it full.
    const channel = this.#parts.relay.open(user, this, 2 * frameRates.bytes.burst);
    if (channel === undefined) return this.lost(CLOSE.tryLater, "the user's node cannot be reached now", COME_BACK_MS);
    this.#channel = channel;
    this.#budget = new FrameBudget(frameRates, this.#clock);
    this.#untold = new UntoldBytes(this.#budget, frameRates, this.#clock);
    this.received(data);
  }

  /** A session here, also for a client that is to be refused: there is one place that does that. */
  #begin(): SocketSession {
    this.#cancelHelloTimeout();
    return (this.#here ??= new SocketSession(this.#socket, this.#parts.context, this.#connection));
  }

  #userOf(data: string): UserId | undefined {
    if (data.length > this.#parts.context.limits.frameBytesMax) return undefined;
    try {
      const { t, token } = JSON.parse(data) as { t?: unknown; token?: unknown };
      return t === "hello" && typeof token === "string" ? this.#parts.signedFor(token) : undefined;
    } catch {
      return undefined;
    }
  }

  // ---- from the home

  frame(text: string): void {
    if (this.#isClosed) return;
    const sent = this.#socket.sendText(text);
    if (sent === 0) return this.lost(CLOSE.tooSlow, "the client reads too slowly; come back with the cursor", 0);
    this.#came += Buffer.byteLength(text);
    this.#report();
  }

  misbehaved(): void {
    this.#connection.misbehaved();
  }

  saidHello(user: UserId): void {
    try {
      this.#connection.saidHello(user);
    } catch {
      this.close(CLOSE.tryLater, "this node has no place for the connection", GAVE_WAY_RETRY_MS);
    }
  }

  terminate(): void {
    this.#lingerMs = 0;
    if (!this.#isClosed) this.#socket.terminate();
    this.#end();
  }

  lost(code: CloseCode, reason: string, afterMs: number): void {
    this.close(code, reason, afterMs);
  }

  /** Without `afterMs`, the home has sent `bye` already. */
  close(code: CloseCode, reason: string, afterMs?: number): void {
    if (this.#here !== undefined) return this.#here.close(code, reason, afterMs);
    if (this.#isClosed) return;
    this.#end();
    const bye: ByeFrame = { t: "bye", code, reason, ...(afterMs ? { afterMs } : {}) };
    if (afterMs !== undefined) this.#socket.sendText(JSON.stringify(bye));
    this.#socket.close(code, reason.slice(0, 120));
  }

  // ---- the rest

  #report(): void {
    if (this.#channel === undefined || this.#isClosed) return;
    const waiting = this.#socket.getBufferedAmount();
    const isChanged = Math.abs(waiting - this.#waiting) >= REPORT_BYTES || (waiting === 0 && this.#waiting > 0);
    if (this.#came < REPORT_BYTES && !isChanged) return;
    this.#channel.drained(this.#came, waiting);
    this.#came = 0;
    this.#waiting = waiting;
  }

  #farBeyond(): void {
    this.#connection.misbehaved();
    this.#lingerMs = FLOOD_LINGER_MS;
    this.close(CLOSE.tooManyRefused, "frames exceeded the limit by far", 0);
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelHelloTimeout();
    this.#channel?.closed();
    this.#channel = undefined;
  }
}
