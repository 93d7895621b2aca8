/**
 * Keeps one transport alive: attempts, deadlines, heartbeat, backoff, the choice between socket and long poll, and the
 * return to a socket. Which node each attempt is made to, is chosen in places.ts. It knows nothing of streams or
 * messages.
 *
 * Invariants
 * - At most one transport is in use. While polling, a probe for a socket is in use only after it has opened and the
 *   poll is closed.
 * - Every callback of an attempt checks the attempt's number, so that nothing of an old attempt reaches the owner.
 * - After a close code of 4500 and above, and after `stop`, there is no further attempt.
 */
import { CLOSE, mayReconnect, type ErrorCode } from "../protocol/codes.ts";
import type { ByeFrame, ClientFrame, SentFrame, ServerFrame } from "../protocol/frames.ts";
import { Backoff } from "./backoff.ts";
import type { ClientClock } from "./clock.ts";
import { ParleyError } from "./errors.ts";
import type { Places } from "./places.ts";
import { startSocket, type SocketConstructor } from "./socket-transport.ts";
import type { Transport, TransportEvents } from "./transport.ts";

export type ConnectionOptions = {
  places: Places;
  token: string;
  transport: "auto" | "socket" | "poll";
  Socket: SocketConstructor | undefined;
  startPoll(url: string, events: TransportEvents): Transport;
  clock: ClientClock;
  random: () => number;
  connectTimeoutMs: number;
  backoffBaseMs: number;
  backoffMaxMs: number;
  /** First wait before trying a socket again while polling; doubles up to a minute. */
  socketRetryMs: number;
};

export type ConnectionOwner = {
  connecting(): void;
  /** Runs `go` when frames of the last connection are handled, so that the cursor says so. */
  whenHandled(go: () => void): void;
  /** Called when the owner should send `hello`. */
  opened(): void;
  frame(frame: ServerFrame): void;
  acked(sent: SentFrame): void;
  down(): void;
  offline(reason: string, retryInMs: number): void;
  /** Called when the server refuses for good. */
  refused(error: ParleyError): void;
};

const NETWORK_LOST = 1006;
/** A connection that lasted this long was good: failures are counted from zero again. */
const STABLE_MS = 5000;
const SOCKET_FAILURES_BEFORE_POLL = 2;
const PROBE_MS_MAX = 60_000;
/** Silence is counted in half heartbeats: ping after one heartbeat, disconnect after two. */
const TICKS_PER_HEARTBEAT = 2;

export class Connection {
  readonly #options: ConnectionOptions;
  readonly #owner: ConnectionOwner;
  readonly #backoff: Backoff;
  #attempt = 0;
  #isStopped = false;
  #transport: Transport | undefined;
  #lastKind: "socket" | "poll" | undefined;
  #socketFailures = 0;
  /** Socket attempts since the last `welcome` over a socket. */
  #socketTries = 0;
  #welcomedAtMs: number | undefined;
  #silentTicks = 0;
  #probeMs: number;
  #probe: Transport | undefined;
  /** Deadline, heartbeat or backoff: never two at once. */
  #cancelTimer: (() => void) | undefined;
  #cancelAsking: (() => void) | undefined;
  #cancelProbe: (() => void) | undefined;

  constructor(options: ConnectionOptions, owner: ConnectionOwner) {
    this.#options = options;
    this.#owner = owner;
    this.#probeMs = options.socketRetryMs;
    this.#backoff = new Backoff(options.random, options.backoffBaseMs, options.backoffMaxMs);
  }

  /** The URL in use. */
  get url(): string {
    return this.#options.places.url;
  }

  get transport(): Transport | undefined {
    return this.#transport;
  }

  start(): void {
    if (this.#isStopped) return;
    const attempt = ++this.#attempt;
    this.#owner.connecting();
    this.#owner.whenHandled(() => {
      if (attempt === this.#attempt) this.#open(attempt);
    });
  }

  send(frame: ClientFrame): void {
    this.#transport?.send(frame);
  }

  /** `welcome` arrived. */
  welcomed(heartbeatMs: number): void {
    const kind = this.#transport?.kind;
    this.#welcomedAtMs = this.#options.clock.monotonicMs();
    this.#options.places.worked();
    if (kind === "socket") {
      this.#socketFailures = this.#socketTries = 0;
      this.#probeMs = this.#options.socketRetryMs;
    }
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#silentTicks = 0;
    if (heartbeatMs > 0) this.#beat(heartbeatMs / TICKS_PER_HEARTBEAT);
    if (kind === "poll" && this.#options.transport === "auto" && this.#options.Socket !== undefined)
      this.#armProbe(this.#options.Socket);
  }

  /** The server has sent `bye`: reconnect without waiting for the close. */
  bye(frame: ByeFrame): void {
    this.#down(frame.code, frame.reason, frame);
  }

  /** Drops a faulty connection and resumes on a new one. */
  drop(reason: string): void {
    if (this.#transport !== undefined) this.#down(NETWORK_LOST, reason);
  }

  stop(): void {
    this.#isStopped = true;
    this.#clear();
  }

  #open(attempt: number): void {
    const kind = this.#choose();
    if (kind === "socket" && this.#options.Socket === undefined)
      return this.#refuse("bad_request", "this platform has no WebSocket: pass one");
    this.#lastKind = kind;
    this.#armDeadline();
    this.#cancelAsking = this.#options.places.next((url) => {
      if (attempt === this.#attempt) this.#connect(attempt, kind, url);
    });
  }

  #connect(attempt: number, kind: "socket" | "poll", url: string): void {
    const events = this.#events(attempt);
    try {
      this.#transport =
        kind === "socket" && this.#options.Socket !== undefined
          ? this.#startSocket(this.#options.Socket, events)
          : this.#options.startPoll(url, events);
    } catch (error) {
      this.#down(NETWORK_LOST, `no connection to ${url}: ${String(error)}`);
    }
  }

  /**
   * Every second attempt after a failure sends the token with the upgrade, which a server demands when it refuses
   * strangers of this address. The other attempts do not: some proxies do not pass the token on, and a browser treats
   * that as a failure.
   */
  #startSocket(Socket: SocketConstructor, events: TransportEvents): Transport {
    const isShown = this.#socketTries++ % 2 === 1;
    return startSocket(Socket, this.url, events, isShown ? this.#options.token : undefined);
  }

  #choose(): "socket" | "poll" {
    if (this.#options.transport !== "auto") return this.#options.transport;
    if (this.#options.Socket === undefined) return "poll";
    // A node that is gone says nothing about sockets, so each entry has its tries.
    const failuresMax = SOCKET_FAILURES_BEFORE_POLL * this.#options.places.entries;
    return this.#socketFailures >= failuresMax && this.#lastKind === "socket" ? "poll" : "socket";
  }

  #events(attempt: number): TransportEvents {
    const isCurrent = () => attempt === this.#attempt;
    return {
      opened: () => {
        if (isCurrent()) this.#owner.opened();
      },
      frame: (frame) => {
        if (!isCurrent()) return;
        this.#silentTicks = 0;
        this.#owner.frame(frame);
      },
      acked: (sent) => {
        if (isCurrent()) this.#owner.acked(sent);
      },
      closed: (code, reason) => {
        if (isCurrent()) this.#down(code, reason);
      },
    };
  }

  #armDeadline(): void {
    const { connectTimeoutMs } = this.#options;
    this.#cancelTimer = this.#options.clock.after(connectTimeoutMs, () =>
      this.#down(NETWORK_LOST, `no welcome within ${connectTimeoutMs} ms`),
    );
  }

  #beat(tickMs: number): void {
    this.#cancelTimer = this.#options.clock.after(tickMs, () => {
      this.#silentTicks++;
      if (this.#silentTicks >= 2 * TICKS_PER_HEARTBEAT) return this.#down(NETWORK_LOST, "the server stopped answering");
      if (this.#silentTicks >= TICKS_PER_HEARTBEAT) this.send({ t: "ping" });
      this.#beat(tickMs);
    });
  }

  #down(code: number, reason: string, bye?: ByeFrame): void {
    const wasWelcomed = this.#welcomedAtMs !== undefined;
    const wasStable = wasWelcomed && this.#options.clock.monotonicMs() - (this.#welcomedAtMs ?? 0) >= STABLE_MS;
    if (this.#lastKind === "socket" && !wasWelcomed && bye === undefined && code < CLOSE.goingAway)
      this.#socketFailures++;
    this.#clear();
    this.#owner.down();
    if (this.#isStopped) return;
    if (!mayReconnect(code)) {
      this.#refuse(codeOfClose(code), `closed with ${code}: ${reason}`);
      return;
    }
    // A move is no failure, however often it happens.
    if (wasStable || (wasWelcomed && code === CLOSE.moved)) this.#backoff.reset();
    if (!wasWelcomed) this.#options.places.failed();
    // A redirect by `bye` is followed once.
    if (bye?.url !== undefined) this.#options.places.named(bye.url);
    const retryInMs = this.#backoff.nextMs(bye?.afterMs);
    this.#owner.offline(reason === "" ? `closed with ${code}` : reason, retryInMs);
    this.#cancelTimer = this.#options.clock.after(retryInMs, () => this.start());
  }

  #refuse(code: ErrorCode, detail: string): void {
    this.#isStopped = true;
    this.#owner.refused(new ParleyError(code, detail));
  }

  #clear(): void {
    this.#attempt++;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#cancelAsking?.();
    this.#cancelAsking = undefined;
    this.#cancelProbe?.();
    this.#cancelProbe = undefined;
    this.#probe?.close();
    this.#probe = undefined;
    const transport = this.#transport;
    this.#transport = undefined;
    this.#welcomedAtMs = undefined;
    transport?.close();
  }

  #armProbe(Socket: SocketConstructor): void {
    this.#cancelProbe = this.#options.clock.after(this.#probeMs, () => this.#startProbe(Socket));
    this.#probeMs = Math.min(PROBE_MS_MAX, this.#probeMs * 2);
  }

  /** Tries a socket while the poll goes on, and switches only when the socket has opened. */
  #startProbe(Socket: SocketConstructor): void {
    const failed = () => {
      this.#cancelProbe?.();
      this.#probe?.close();
      this.#probe = undefined;
      this.#armProbe(Socket);
    };
    const none = () => {};
    let events: TransportEvents = { opened: none, frame: none, acked: none, closed: failed };
    try {
      const probe = this.#startSocket(Socket, {
        opened: () => (events = this.#promote(probe)),
        frame: (frame) => events.frame(frame),
        acked: none,
        closed: (code, reason) => events.closed(code, reason),
      });
      this.#probe = probe;
      this.#cancelProbe = this.#options.clock.after(this.#options.connectTimeoutMs, failed);
    } catch {
      this.#armProbe(Socket);
    }
  }

  #promote(probe: Transport): TransportEvents {
    this.#probe = undefined;
    this.#clear();
    this.#owner.down();
    this.#transport = probe;
    this.#lastKind = "socket";
    const attempt = this.#attempt;
    this.#armDeadline();
    this.#owner.connecting();
    this.#owner.whenHandled(() => {
      if (attempt === this.#attempt) this.#owner.opened();
    });
    return this.#events(attempt);
  }
}

function codeOfClose(code: number): ErrorCode {
  if (code === CLOSE.badToken || code === CLOSE.loggedOut) return "unauthorized";
  return code === CLOSE.tooManyRefused ? "rate_limited" : "bad_request";
}
