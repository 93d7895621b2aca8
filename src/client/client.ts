/** The SDK's client: one device of one user. README.md describes its promises, and what the application must do. */
import type { Cursor, ErrorFrame, ReceivedFrame, SentFrame, ServerFrame, WelcomeFrame } from "../protocol/frames.ts";
import { Backoff } from "./backoff.ts";
import { Connection } from "./connection.ts";
import { copyCursor } from "./cursor-store.ts";
import { ParleyError } from "./errors.ts";
import { tell, type ClientEvent, type ClientState } from "./events.ts";
import { ownRoute, type Server } from "./http.ts";
import { Inflow, type InflowStats } from "./inflow.ts";
import { ASSUMED_LIMITS, settingsOf, type ClientOptions, type Settings } from "./options.ts";
import { Outflow } from "./outflow.ts";
import { Pager } from "./pager.ts";
import { Places } from "./places.ts";
import { startPoll } from "./poll-transport.ts";
import { TIMELINE } from "./positions.ts";
import { Progress } from "./progress.ts";
import type { Transport } from "./transport.ts";

export type { ClientOptions } from "./options.ts";
export type { ClientEvent, ClientState } from "./events.ts";

/** How long `close` waits for an application that is handling a message. */
const CLOSE_WAIT_MS = 5000;
/** How long entries of a group may wait for the `membership` that places them. */
const MEMBERSHIP_WAIT_MS = 5000;

export type ClientStats = InflowStats & { connections: number };

export class ParleyClient {
  readonly #settings: Settings;
  readonly #inflow: Inflow;
  readonly #outflow: Outflow;
  readonly #pager: Pager;
  readonly #progress: Progress;
  readonly #connection: Connection;
  #state: ClientState = "idle";
  #user: string | undefined;
  #device: string | undefined;
  #limits = ASSUMED_LIMITS;
  #connections = 0;
  #stored: Cursor | undefined;
  /** `live` was handled on this connection: sends may go out, even while gaps are still paged. */
  #maySend = false;
  #connecting: Promise<void> | undefined;
  #isClosing = false;
  #saidCursor = false;
  #settleConnect: { resolve(): void; reject(error: ParleyError): void } | undefined;
  #whenHandled: (() => void)[] = [];
  #whenSettled: (() => void)[] = [];
  #cancelMembershipWait: (() => void) | undefined;

  constructor(options: ClientOptions) {
    // An invalid URL throws here, in the constructor, instead of at every attempt.
    const settings = settingsOf(options);
    for (const url of settings.urls) void new URL(url);
    if (settings.urls.length === 0) throw new TypeError("url: an empty list");
    this.#settings = settings;
    this.#inflow = this.#newInflow();
    this.#outflow = new Outflow(settings, { liveTransport: () => this.#liveTransport, limits: () => this.#limits });
    this.#pager = new Pager({
      server: () => this.#server(this.#connection.url),
      clock: settings.clock,
      backoff: () => new Backoff(settings.random, settings.backoffBaseMs, settings.backoffMaxMs),
      push: (item) => this.#inflow.push(item),
    });
    this.#progress = this.#newProgress();
    this.#connection = this.#newConnection();
  }

  get state(): ClientState {
    return this.#state;
  }

  /** The user as named in `welcome`. Undefined before it, and while only long poll was available. */
  get user(): string | undefined {
    return this.#user;
  }

  get device(): string | undefined {
    return this.#device;
  }

  get stats(): ClientStats {
    return { ...this.#inflow.stats, connections: this.#connections };
  }

  /**
   * A copy of what this device has, including the message being handled; undefined until a device that starts now is
   * connected.
   */
  cursor(): Cursor | undefined {
    const { cursor } = this.#inflow.positions;
    return cursor === undefined ? undefined : copyCursor(cursor);
  }

  /**
   * Resolves when everything missed has been handed over for the first time. From then on the client reconnects by
   * itself.
   * @throws ParleyError when the server refuses for good, or on `close`.
   */
  connect(): Promise<void> {
    if (this.#state === "closed") return Promise.reject(closedError());
    this.#connecting ??= this.#start();
    return this.#connecting;
  }

  /**
   * Resolves when the message is durable, however many connections that takes. Two sends with the same ref are one
   * message (G2).
   * @throws ParleyError if it is refused for good; `unavailable` when the outbox is full, or the client was closed
   * before the ack.
   */
  send(input: { to: string; text: string; ref?: string }): Promise<SentFrame> {
    return this.#isClosing || this.#state === "closed" ? Promise.reject(closedError()) : this.#outflow.send(input);
  }

  /** Tells the server, now or after the next connect, that the user has read up to `seq` there. */
  markRead(conversation: string, seq: number): void {
    if (this.#state !== "closed") this.#outflow.markRead(conversation, seq);
  }

  /**
   * Finishes the message being handled, saves the cursor, sends `received`, and ends. Sends without an ack reject; they
   * may be repeated later with the same ref.
   */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#isClosing = true;
    this.#inflow.forgetWaiting();
    this.#pager.stop();
    await this.#handledWithin(CLOSE_WAIT_MS);
    if (!this.#inflow.isHandling) await this.#progress.flush();
    this.#end(closedError());
  }

  async #start(): Promise<void> {
    const done = new Promise<void>((resolve, reject) => (this.#settleConnect = { resolve, reject }));
    // It may be refused while the store is still loading, before anything awaits it.
    done.catch(() => {});
    const stored = await this.#load();
    if (stored !== undefined) this.#stored = copyCursor(stored);
    this.#inflow.positions.load(stored === undefined ? undefined : copyCursor(stored));
    this.#connection.start();
    return done;
  }

  async #load(): Promise<Cursor | undefined> {
    try {
      return await this.#settings.cursorStore.load();
    } catch (cause) {
      this.#refused(new ParleyError("internal", `the cursor was not loaded: ${String(cause)}`, { cause }));
      return undefined;
    }
  }

  #newConnection(): Connection {
    const { urls, direct, token, transport, WebSocket: Socket, clock, random } = this.#settings;
    const { connectTimeoutMs, backoffBaseMs, backoffMaxMs, socketRetryMs, pollWaitMs } = this.#settings;
    const settled = () => this.#settled();
    return new Connection(
      {
        places: new Places({
          ...{ entries: urls, direct, clock, random },
          ask: async (entry, signal) => (await ownRoute({ ...this.#server(entry), signal })).url,
        }),
        token,
        transport,
        Socket,
        clock,
        random,
        connectTimeoutMs,
        backoffBaseMs,
        backoffMaxMs,
        socketRetryMs,
        startPoll: (at, events) =>
          startPoll({ server: this.#server(at), clock, waitMs: pollWaitMs, settled, limits: this.#limits }, events),
      },
      {
        connecting: () => this.#become("connecting", { type: "connecting" }),
        whenHandled: (go) => (this.#inflow.isIdle ? go() : void this.#whenHandled.push(go)),
        opened: () => this.#hello(),
        frame: (frame) => this.#arrived(frame),
        acked: (sent) => this.#acked(sent),
        down: () => this.#disconnected(),
        offline: (reason, retryInMs) => this.#become("offline", { type: "offline", reason, retryInMs }),
        refused: (error) => this.#refused(error),
      },
    );
  }

  #hello(): void {
    this.#connections++;
    this.#inflow.positions.begin();
    const { cursor } = this.#inflow.positions;
    const { token } = this.#settings;
    this.#saidCursor = cursor !== undefined;
    this.#connection.send(
      cursor === undefined ? { t: "hello", token } : { t: "hello", token, cursor: copyCursor(cursor) },
    );
  }

  /** Acks and errors are handled on arrival. Frames with a position in a stream wait for their turn. */
  #arrived(frame: ServerFrame): void {
    if (this.#isClosing) return;
    switch (frame.t) {
      case "sent":
        this.#inflow.pushSent(frame);
        return this.#outflow.acked(frame);
      case "error":
        return this.#sendRefused(frame);
      case "bye":
        return this.#connection.bye(frame);
      case "pong":
        return;
      case "welcome":
        return this.#welcomed(frame);
      default:
        return this.#inflow.push(frame);
    }
  }

  #welcomed(frame: WelcomeFrame): void {
    if (frame.user !== "") this.#user = frame.user;
    if (frame.device !== "") this.#device = frame.device;
    this.#limits = frame.limits;
    this.#connection.welcomed(frame.heartbeatMs);
    this.#inflow.push(frame);
    // Without a cursor in `hello` nothing was missed, so the server need not send `live`. If it does, it changes
    // nothing.
    if (!this.#saidCursor) this.#inflow.push({ t: "live" });
  }

  #disconnected(): void {
    this.#maySend = false;
    this.#pager.stop();
    this.#inflow.disconnected();
    this.#outflow.disconnected();
    this.#cancelMembershipWait?.();
    this.#cancelMembershipWait = undefined;
    this.#whenSettled = [];
  }

  #refused(error: ParleyError): void {
    this.#tell({ type: "error", error });
    this.#end(error);
  }

  #end(error: ParleyError): void {
    if (this.#state === "closed") return;
    this.#connection.stop();
    this.#disconnected();
    this.#progress.end();
    this.#outflow.end(error);
    this.#become("closed", { type: "closed" });
    this.#settleConnect?.reject(error);
    this.#settleConnect = undefined;
  }

  #newInflow(): Inflow {
    return new Inflow(this.#settings, {
      drop: (reason) => this.#connection.drop(reason),
      fetch: (stream, after) => this.#pager.fetch(stream, after),
      handled: (stream, seq) => this.#progress.handled(stream, seq),
      moved: () => this.#progress.moved(),
      forget: (stream) => this.#progress.forget(stream),
      ackedByMessage: (message) => this.#outflow.ackedByMessage(message),
      live: () => this.#live(),
      awaitingMembership: () => this.#armMembershipWait(),
      idle: () => this.#idle(),
    });
  }

  #newProgress(): Progress {
    const {
      cursorStore: store,
      clock,
      receivedIntervalMs: intervalMs,
      receivedEntriesMax: entriesMax,
    } = this.#settings;
    return new Progress({
      store,
      clock,
      intervalMs,
      entriesMax,
      cursor: () => this.#inflow.positions.cursor,
      isHandling: () => this.#inflow.isHandling,
      send: (frame) => this.#sayReceived(frame),
      onError: (cause) =>
        this.#tell({
          type: "error",
          error: new ParleyError("internal", `the cursor was not saved: ${String(cause)}`, { cause }),
        }),
    });
  }

  #live(): void {
    this.#maySend = true;
    this.#restateStored();
    this.#progress.connected();
    this.#outflow.live();
  }

  #restateStored(): void {
    const stored = this.#stored;
    if (stored === undefined) return;
    this.#stored = undefined;
    const { positions } = this.#inflow;
    if (stored.timeline <= (positions.seqOf(TIMELINE) ?? 0)) this.#progress.restate(TIMELINE, stored.timeline);
    for (const [group, { seq }] of Object.entries(stored.groups)) {
      if (seq <= (positions.seqOf(group) ?? 0)) this.#progress.restate(group, seq);
    }
  }

  /** Called when all frames are handled. It runs once per frame on a quiet connection, so cheap checks come first. */
  #idle(): void {
    if (this.#whenHandled.length > 0) for (const go of this.#whenHandled.splice(0)) go();
    if (this.#inflow.positions.isPaging) return;
    if (this.#maySend && this.#state === "connecting") this.#becomeLive();
    if (this.#whenSettled.length > 0) for (const go of this.#whenSettled.splice(0)) go();
  }

  #becomeLive(): void {
    this.#become("live", { type: "live", transport: this.#connection.transport?.kind ?? "socket" });
    this.#settleConnect?.resolve();
    this.#settleConnect = undefined;
  }

  /** For long poll: the cursor of the next call, once it is handled and saved. */
  async #settled(): Promise<Cursor | undefined> {
    const { positions } = this.#inflow;
    if (!this.#inflow.isIdle || positions.isPaging)
      await new Promise<void>((resolve) => this.#whenSettled.push(resolve));
    await this.#progress.flush();
    return this.cursor();
  }

  /**
   * A membership and the group's entries come from different logs, in either order. If the membership does not come,
   * resume.
   */
  #armMembershipWait(): void {
    this.#cancelMembershipWait ??= this.#settings.clock.after(MEMBERSHIP_WAIT_MS, () => {
      this.#cancelMembershipWait = undefined;
      if (this.#inflow.positions.isAwaitingMembership)
        this.#connection.drop("entries of an unknown group, and no membership");
    });
  }

  /** The transport, once `live` was handled on it. */
  get #liveTransport(): Transport | undefined {
    return this.#maySend ? this.#connection.transport : undefined;
  }

  /** An ack outside the order of entries, as with long poll. */
  #acked(sent: SentFrame): void {
    this.#inflow.ackedApart(sent);
    this.#outflow.acked(sent);
  }

  #sendRefused(frame: ErrorFrame): void {
    const error = this.#outflow.refused(frame);
    if (error !== undefined) this.#tell({ type: "error", error });
  }

  #sayReceived(frame: ReceivedFrame): boolean {
    const transport = this.#liveTransport;
    if (transport === undefined) return false;
    if (transport.carriesMarks) transport.send(frame);
    return true;
  }

  #server(url: string): Server {
    return { url, token: this.#settings.token, fetch: this.#settings.fetch };
  }

  #handledWithin(ms: number): Promise<void> {
    if (this.#inflow.isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#settings.clock.after(ms, resolve);
      this.#whenHandled.push(() => {
        cancel();
        resolve();
      });
    });
  }

  #become(state: ClientState, event: ClientEvent): void {
    this.#state = state;
    this.#tell(event);
  }

  #tell(event: ClientEvent): void {
    tell(this.#settings.onEvent, event);
  }
}

function closedError(): ParleyError {
  return new ParleyError(
    "unavailable",
    "the client was closed; what had no ack may have been sent: send it again with the same ref",
  );
}
