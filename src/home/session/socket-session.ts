/**
 * One WebSocket: from `hello` to `bye`.
 *
 *     new → authenticating → catching up → live → closed
 *
 * The message handler is synchronous: it decodes a frame, then acts on it or puts it aside. Later results (of the log,
 * of the catch-up) leave through the outbox.
 *
 * Invariants
 * - Before `welcome` only an error or `bye` is sent.
 * - During the catch-up live entries are not pushed: the catch-up reads them from the log. It ends in the same turn in
 *   which it has reached all heads.
 * - Sends that come before `live` wait in a bounded inbox, so that `sent` continues the stream like every other entry.
 * - Frames are acted on in the order in which they came, at once or in turns (frame-turns.ts). A frame that needs a
 *   user or group to be loaded waits for that, and all frames behind it wait too (G4).
 */
import { AppError } from "../../base/errors.ts";
import { unreachable } from "../../base/assert.ts";
import type { Steps } from "../../base/steps.ts";
import { isGroup, type Address, type DeviceId, type UserId } from "../../domain/address.ts";
import { SESSIONS_PER_USER_MAX } from "../../domain/limits.ts";
import { CLOSE, type CloseCode } from "../../protocol/codes.ts";
import { jsonString, sentFrame } from "../../protocol/encode.ts";
import type {
  ByeFrame,
  ClientFrame,
  Cursor,
  HelloFrame,
  ReadFrame,
  ReceivedFrame,
  SendFrame,
  WelcomeFrame,
} from "../../protocol/frames.ts";
import { acknowledge } from "../marks/acknowledge.ts";
import { CatchUp, CatchUpPage } from "../reading/catch-up.ts";
import { userWithGroupHeads } from "../reading/loading.ts";
import { actOnMark, whatMarkNeeds } from "../marks/mark-frames.ts";
import { refusalOf } from "../refusal-of.ts";
import { sendMessage } from "../sending/send-message.ts";
import type { Actor } from "../services.ts";
import type { SendReply, SendRequest, Sent } from "../sending/pending-send.ts";
import type { EntryPlace, Session } from "../session.ts";
import type { Shard } from "../shard.ts";
import type { UserState } from "../state/user-state.ts";
import type { ClientConnection, ClientSocket } from "./client-socket.ts";
import { decodeFrame } from "./decode-frame.ts";
import { FrameBudget } from "./frame-budget.ts";
import type { TurnTaker } from "./frame-turns.ts";
import { Outbox, type OutboxOwner } from "./outbox.ts";
import { RefusalCount } from "./refusal-count.ts";
import type { SocketContext } from "./socket-context.ts";
import { StallWatch } from "./stall-watch.ts";
import { UntoldBytes } from "./untold-bytes.ts";
import type { UserShare } from "./user-shares.ts";
import type { Holder } from "./waiting-bytes.ts";

const INBOX_FRAMES_MAX = 256;
const CATCH_UP_FRAMES = 256;
const MARK_LOADS_MAX = 3;
const HELLO_TIMEOUT_MS = 5000;
const OVERFLOW_RETRY_MS = 1000;
const FAILED_RETRY_MS = 5000;
const HELLO_RETRY_MS = 1000;
const GAVE_WAY_RETRY_MS = 10_000;
const SOCKETS_OVER_SESSIONS = 2;
/** How long a closed connection may linger: for a client that is slow to read the reason, and for one that floods. */
const LINGER_MS = 5000;
const FLOOD_LINGER_MS = 20;

type State = "new" | "authenticating" | "catching-up" | "live" | "closed";

const NO_USER = "" as UserId;
const NO_DEVICE = "" as DeviceId;

const inboxFull = (bytesMax: number): AppError =>
  new AppError("rate_limited", `${bytesMax} bytes of frames wait already; send again later`, {
    retryAfterMs: OVERFLOW_RETRY_MS,
  });

export class SocketSession implements Session, SendReply, TurnTaker, Holder, OutboxOwner {
  readonly #context: SocketContext;
  readonly #socket: ClientSocket;
  readonly #outbox: Outbox;
  /** Made with the first refusal. */
  #refusals: RefusalCount | undefined;
  readonly #budget: FrameBudget;
  readonly #untold: UntoldBytes;
  readonly #connection: ClientConnection;
  /** Until hello. */
  #cancelHelloTimeout: (() => void) | undefined;
  /** Made when a catch-up first waits for its client. */
  #stallWatch: StallWatch | undefined;
  #state: State = "new";
  /** The home of its user. */
  #home: Shard | undefined;
  #userState: UserState | undefined;
  #catchUp: CatchUp | undefined;
  #cancelWait: (() => void) | undefined;
  /** Whether a step of the catch-up is under way or waits for its turn. */
  #isReading = false;
  #inbox: ClientFrame[] = [];
  /** Whether a frame waits for something to be loaded. */
  #isHeld = false;
  /** Frames that came before `live`, not yet acted on. */
  #held: ClientFrame[] = [];
  /** Frames that came faster than their turn, or while a frame was held. */
  #unacted: string[] = [];
  #isInTurns = false;
  /** Bytes of `#inbox`, `#held` and `#unacted`; and of the first two. */
  #inboxBytes = 0;
  #asideBytes = 0;
  /** What the runtime held for the client when last asked: it cannot be asked once the socket is closed. */
  #bufferedBytes = 0;
  #isReleased = false;
  #hasOverflowed = false;
  #token = "";
  #sendsRefusedUntil = 0;
  user = NO_USER;
  device = NO_DEVICE;
  share: UserShare | undefined;
  heldBytes = 0;
  /** How long the client has to read the reason after the close. */
  lingerMs = LINGER_MS;

  constructor(socket: ClientSocket, context: SocketContext, connection: ClientConnection) {
    this.#socket = socket;
    this.#connection = connection;
    this.#context = context;
    this.#outbox = new Outbox(socket, context.flusher, context.outboxBytesMax, this);
    this.#budget = new FrameBudget(context.frameRates, context.clock);
    this.#untold = new UntoldBytes(this.#budget, context.frameRates, context.clock);
    this.#cancelHelloTimeout = context.clock.after(HELLO_TIMEOUT_MS, () => {
      if (this.#state === "new") this.close(CLOSE.protocolError, `no hello within ${HELLO_TIMEOUT_MS} ms`);
    });
  }

  // ---- from the socket

  received(data: string | Buffer): void {
    if (this.#state === "closed") return;
    const verdict = this.#budget.spend(data.length);
    try {
      if (verdict === "far-beyond") return this.#farBeyond();
      if (typeof data !== "string")
        return this.#refuse(undefined, new AppError("bad_request", "frame: is binary; frames are JSON text"));
      if (verdict === "short") return this.#refuseUnacted(data, this.#beyondBudget());
      if (verdict === "act" && this.#unacted.length === 0 && !this.#isHeld) return this.#decodeAndAct(data);
      this.#waitForTurn(data);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A ping or a pong of so many bytes. The runtime answers it by itself; it costs as much as any other frame. */
  heard(bytes: number): void {
    if (this.#state === "closed") return;
    const verdict = this.#budget.spend(bytes);
    if (verdict === "far-beyond") this.#farBeyond();
    // The runtime's answers may wait here, unread.
    else if (verdict !== "act") this.#account();
  }

  /**
   * The kernel has read so many bytes since the connection began. Charges those that were in no frame.
   * @returns whether to end the connection: it was closed, and the client goes on sending
   */
  hasRead(bytes: number): boolean {
    const isClosed = this.#state === "closed";
    const isFar = this.#untold.charge(bytes, isClosed) === "far-beyond";
    if (isClosed && this.lingerMs <= FLOOD_LINGER_MS) return true;
    if (!isFar) return false;
    if (isClosed) this.#connection.misbehaved();
    else this.#farBeyond();
    return isClosed;
  }

  /** Never throws, even if the goodbye fails: an error of one connection must not reach the others. */
  failed(error: unknown): void {
    try {
      this.#failed(error);
    } catch {
      this.#socket.terminate();
    }
  }

  /** Unexpected errors close the connection, so that the client never misses a frame silently (G7). */
  #failed(error: unknown): void {
    const refusal = refusalOf(error);
    if (refusal !== undefined) return this.close(CLOSE.tryLater, refusal.message, FAILED_RETRY_MS);
    this.#context.logger.error("a connection failed", { error, user: this.user, device: this.device });
    this.close(CLOSE.tryLater, "unexpected error; the server's log has the details", FAILED_RETRY_MS);
  }

  #decodeAndAct(data: string): void {
    const decoded = decodeFrame(data, this.#context.limits);
    if ("error" in decoded) return this.#refuse(decoded.ref, decoded.error);
    const { frame } = decoded;
    if (this.#state === "live") return this.#act(frame);
    if (this.#state === "new") return this.#firstFrame(frame);
    if (this.#state === "catching-up" && frame.t !== "send") return this.#act(frame);
    this.#putAside(frame, data.length);
  }

  #waitForTurn(data: string): void {
    const { burst } = this.#context.frameRates.bytes;
    if (this.#inboxBytes + data.length > burst) return this.#refuseUnacted(data, inboxFull(burst));
    this.#inboxBytes += data.length;
    this.#unacted.push(data);
    this.#joinTurns();
    this.#account();
  }

  #joinTurns(): void {
    if (this.#isInTurns || this.#isHeld || this.#unacted.length === 0) return;
    this.#isInTurns = true;
    this.#context.turns.add(this);
  }

  /** @returns whether more frames wait */
  actOnNext(): boolean {
    if (!this.#isHeld) this.#actOnUnacted();
    this.#isInTurns = this.#unacted.length > 0 && !this.#isHeld;
    return this.#isInTurns;
  }

  #actOnUnacted(): void {
    const data = this.#unacted.shift();
    if (data === undefined || this.#state === "closed") return;
    this.#inboxBytes -= data.length;
    try {
      this.#decodeAndAct(data);
    } catch (error) {
      this.#failed(error);
    }
    if (this.#unacted.length === 0) this.#account();
  }

  /**
   * Refuses a frame that was not acted on. Later sends are refused for a while too, so that none ends up before it
   * (G4).
   */
  #refuseUnacted(data: string, error: AppError): void {
    const decoded = decodeFrame(data, this.#context.limits);
    if ("error" in decoded) return this.#refuse(decoded.ref, decoded.error);
    const { frame } = decoded;
    if (frame.t !== "send") return this.#refuse(undefined, error);
    this.#sendsRefusedUntil = this.#context.clock.monotonicMs() + (error.retryAfterMs ?? OVERFLOW_RETRY_MS);
    this.#refuse(frame.ref, error);
  }

  #farBeyond(): void {
    this.#connection.misbehaved();
    if (this.#token !== "") this.#context.penalties.add(this.#token);
    this.#close(CLOSE.tooManyRefused, "frames exceeded the limit by far", undefined, FLOOD_LINGER_MS);
  }

  #beyondBudget(): AppError {
    const { frames, bytes } = this.#context.frameRates;
    const retryAfterMs = this.#budget.waitMs;
    const rates = `${frames.perSecond} frames or ${bytes.perSecond} bytes a second`;
    const detail = `more than ${rates}; go on in ${retryAfterMs} ms`;
    return new AppError("rate_limited", detail, { retryAfterMs });
  }

  // ---- from the outbox

  overflowed(): void {
    this.#tooSlow();
  }

  queued(): void {
    this.#account();
  }

  drained(): void {
    this.#account();
    if (this.#catchUp !== undefined) this.#continueCatchUp();
  }

  /** Tells the node how many bytes wait here. */
  #account(): void {
    if (this.#isReleased) return;
    if (this.#state !== "closed") this.#bufferedBytes = this.#socket.getBufferedAmount();
    this.#context.waiting.set(this, this.#inboxBytes + this.#bufferedBytes);
  }

  /**
   * The node has no room for what waits here. The client does not read, so it cannot be told: the connection ends
   * without `bye`.
   */
  release(): void {
    this.#isReleased = true;
    this.lingerMs = 0;
    // The runtime no longer knows a closed connection; the kernel ends it.
    if (this.#state !== "closed") this.#socket.terminate();
  }

  /** Another connection gets the place of this one. If this one is closed already, it lingers no longer. */
  giveWay(): void {
    const isStranger = this.user === NO_USER;
    const reason = isStranger
      ? "too many connections have not said hello"
      : "a user with fewer connections needs the place";
    this.#close(CLOSE.tryLater, reason, isStranger ? HELLO_RETRY_MS : GAVE_WAY_RETRY_MS, FLOOD_LINGER_MS);
    this.lingerMs = Math.min(this.lingerMs, FLOOD_LINGER_MS);
  }

  /** The connection was closed by either end. Its waiting bytes count until the kernel has let it go. */
  ended(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#release();
    this.#account();
  }

  /** The kernel has let the connection go. */
  gone(): void {
    this.#isReleased = true;
    this.#context.waiting.set(this, 0);
    if (this.share !== undefined) this.#context.shares.leave(this.share);
  }

  // ---- Session

  entry(_place: EntryPlace, _seq: number, frame: string, mayGather = false): void {
    if (this.#state === "live") this.#outbox.push(frame, mayGather);
    else if (this.#state === "catching-up") this.#continueCatchUp();
  }

  notice(frame: string, mark?: number): void {
    // Now it would overtake the receipts that the catch-up has yet to bring, and the client would skip those.
    if (this.#state === "catching-up" && mark !== undefined) this.#continueCatchUp();
    else if (this.#state === "live" || this.#state === "catching-up") this.#outbox.push(frame);
  }

  close(code: CloseCode, reason: string, afterMs?: number, url?: string): void {
    this.#close(code, reason, afterMs, LINGER_MS, url);
  }

  #close(code: CloseCode, reason: string, afterMs: number | undefined, lingerMs: number, url?: string): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.lingerMs = lingerMs;
    const bye: ByeFrame = { t: "bye", code, reason };
    // A relayed client has chosen the node that it is connected to, which finds the next home by itself.
    if (url !== undefined && this.#socket.isRelayed !== true) bye.url = url;
    if (afterMs !== undefined) bye.afterMs = afterMs;
    this.#outbox.push(JSON.stringify(bye));
    this.#outbox.flush();
    this.#bufferedBytes = this.#socket.getBufferedAmount();
    this.#release();
    this.#account();
    this.#socket.close(code, reason.slice(0, 120));
  }

  // ---- SendReply

  get session(): Session {
    return this;
  }

  sent({ ref, id, to, seq, sentAt, deletedAt }: Sent, isDuplicate: boolean): void {
    this.notice(sentFrame(jsonString(ref), id, to, seq, sentAt, isDuplicate, deletedAt));
  }

  refused(ref: string, error: AppError): void {
    this.#refuse(ref, error);
  }

  // ---- hello

  #firstFrame(frame: ClientFrame): void {
    if (frame.t !== "hello") return this.close(CLOSE.protocolError, "the first frame must be hello");
    this.#state = "authenticating";
    this.#helloCame();
    const waitMs = this.#context.penalties.waitMs(frame.token);
    if (waitMs > 0) this.#connection.misbehaved();
    if (waitMs > 0)
      return this.#close(
        CLOSE.tryLater,
        "this device exceeded its limits by far; wait and reconnect",
        waitMs,
        FLOOD_LINGER_MS,
      );
    this.#token = frame.token;
    void this.#hello(frame);
  }

  async #hello(frame: HelloFrame): Promise<void> {
    try {
      const actor = await this.#context.accounts.authenticate(frame.token);
      if (this.#state !== "authenticating") return;
      const home = this.#context.home(actor.user);
      await home.turns.run(this.#enter(home, actor, frame.cursor));
      // A logout before this point did not find this session; from now on a logout does. So check again.
      await this.#context.accounts.authenticate(frame.token);
    } catch (error) {
      this.#helloFailed(error);
    }
  }

  *#enter(home: Shard, actor: Actor, cursor: Cursor | undefined): Steps<void> {
    const user = yield* userWithGroupHeads(home, actor.user);
    if (this.#state !== "authenticating") return;
    if (this.#context.home(actor.user) !== home) throw new AppError("unavailable", "the log was recovered meanwhile");
    if (user === undefined) return this.close(CLOSE.badToken, "the user does not exist any more");
    if (this.#hasTooMany(user)) {
      return this.close(
        CLOSE.tryLater,
        `${SESSIONS_PER_USER_MAX} connections of this user are open, that is the most`,
        10_000,
      );
    }
    this.#identify(actor.user, actor.device);
    this.#begin(home, user, cursor);
  }

  /** Closed connections that linger may be as many again, so that a client that reconnects finds room. */
  #hasTooMany({ user, sessions }: UserState): boolean {
    return (
      sessions.length >= SESSIONS_PER_USER_MAX ||
      this.#context.shares.socketsOf(user) >= SOCKETS_OVER_SESSIONS * SESSIONS_PER_USER_MAX
    );
  }

  #identify(user: UserId, device: DeviceId): void {
    this.#connection.saidHello(user);
    this.#context.waiting.set(this, 0);
    this.user = user;
    this.device = device;
    this.share = this.#context.shares.join(user);
    this.#budget.share(this.share.buckets);
    this.#account();
  }

  #helloFailed(error: unknown): void {
    const refusal = refusalOf(error);
    if (refusal?.code === "unauthorized") return this.close(CLOSE.badToken, refusal.message);
    if (refusal === undefined) this.#context.logger.error("hello failed", { error });
    const reason = refusal?.message ?? "the server cannot accept this connection now";
    this.close(CLOSE.tryLater, reason, refusal?.retryAfterMs ?? HELLO_RETRY_MS);
  }

  #begin(home: Shard, user: UserState, cursor: Cursor | undefined): void {
    this.#home = home;
    this.#userState = user;
    this.#outbox.push(JSON.stringify(this.#welcome(home, user)));
    home.attach(this);
    if (cursor === undefined) return this.#goLive(false);
    acknowledge(home, user, cursor);
    this.#catchUp = new CatchUp(home, user, cursor);
    this.#state = "catching-up";
    this.#continueCatchUp();
  }

  #welcome(home: Shard, user: UserState): WelcomeFrame {
    const groups: WelcomeFrame["groups"] = {};
    for (const { address, joinedSeq, shard } of user.conversations.values()) {
      const head = joinedSeq > 0 && isGroup(address) ? home.mirrors.head(address, shard, user.user) : undefined;
      if (head) groups[address] = { epoch: head.epoch, seq: head.headSeq };
    }
    const { node, heartbeatMs, limits } = this.#context;
    return {
      t: "welcome",
      user: user.user,
      device: this.device,
      node,
      epoch: user.epoch,
      timeline: user.headSeq,
      groups,
      marks: user.markCount,
      heartbeatMs,
      limits,
    };
  }

  // ---- catch-up

  /** In a turn of its own: within a handler of the socket, the socket does not tell how many bytes are queued. */
  #continueCatchUp(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    setImmediate(() => {
      this.#home!.turns.run(this.#readOn()).catch((error: unknown) => this.failed(error));
    });
  }

  /**
   * Page by page, at the client's speed. A queue that is filling waits for `drained`, and a page is too small to fill
   * it.
   */
  *#readOn(): Steps<void> {
    const pageBytes = this.#context.outboxBytesMax / 4;
    try {
      for (;;) {
        if (this.#state !== "catching-up" || this.#catchUp === undefined) return;
        if (this.#outbox.queuedBytes > pageBytes) return this.#watchForStall();
        this.#stallWatch?.end();
        const waitMs = this.#context.reads.waitMs(this.user);
        if (waitMs > 0) return this.#continueLater(waitMs);
        const page = new CatchUpPage(CATCH_UP_FRAMES, pageBytes, this.#context.clock);
        const isPresent = yield* this.#catchUp.read(page);
        this.#context.reads.spend(this.user, page.work);
        // The step may have waited.
        if (this.#state !== "catching-up") return;
        for (const frame of page.frames) this.#outbox.push(frame);
        if (isPresent) return this.#goLive(true);
        // So that what was read counts as queued before more is read.
        this.#outbox.flush();
        yield;
      }
    } finally {
      this.#isReading = false;
    }
  }

  #watchForStall(): void {
    this.#stallWatch ??= new StallWatch(
      this.#context.clock,
      () => this.#outbox.queuedBytes,
      () => this.#tooSlow(),
    );
    this.#stallWatch.begin();
  }

  /** The user's read budget is used up for now. */
  #continueLater(waitMs: number): void {
    this.#cancelWait ??= this.#context.clock.after(waitMs, () => {
      this.#cancelWait = undefined;
      this.#continueCatchUp();
    });
  }

  #goLive(isResume: boolean): void {
    this.#catchUp = undefined;
    this.#state = "live";
    if (isResume) this.#outbox.push(`{"t":"live"}`);
    this.#held = this.#inbox;
    this.#inbox = [];
    this.#actOnHeld();
  }

  // ---- acting

  /** Runs the steps that a frame needs; the frames behind it wait (G4). */
  #hold(steps: Steps<void>): void {
    this.#isHeld = true;
    const goOn = (): void => {
      this.#isHeld = false;
      this.#actOnHeld();
    };
    this.#home!.turns.run(steps)
      .then(goOn)
      .catch((error: unknown) => this.failed(error));
  }

  #actOnHeld(): void {
    while (!this.#isHeld && this.#held.length > 0) this.#act(this.#held.shift()!);
    if (this.#isHeld) return;
    if (this.#state === "live") this.#inboxActed();
    this.#joinTurns();
  }

  #inboxActed(): void {
    if (this.#asideBytes > 0) {
      this.#inboxBytes -= this.#asideBytes;
      this.#asideBytes = 0;
      this.#account();
    }
    if (!this.#hasOverflowed) return;
    // Frames that did not fit before `live` are sent again; sends are refused until then, or they would overtake (G4).
    this.#hasOverflowed = false;
    this.#sendsRefusedUntil = this.#context.clock.monotonicMs() + OVERFLOW_RETRY_MS;
  }

  #act(frame: ClientFrame): void {
    switch (frame.t) {
      case "send":
        return this.#send(frame);
      case "received":
      case "read":
        return this.#mark(frame);
      case "ping":
        return this.#outbox.push(`{"t":"pong"}`);
      case "typing":
        return;
      case "hello":
        return this.#refuse(undefined, new AppError("bad_request", "hello: was sent already"));
      default:
        return unreachable(frame);
    }
  }

  #mark(frame: ReceivedFrame | ReadFrame): void {
    const load = whatMarkNeeds(this.#home!, this.#userState!, frame);
    if (load === undefined) return this.#markNow(frame);
    this.#hold(this.#markLater(load, frame));
  }

  *#markLater(load: Steps<unknown>, frame: ReceivedFrame | ReadFrame): Steps<void> {
    yield* load;
    // What was loaded may be gone by now, for example when the group has moved to another node.
    for (let tries = 1; tries < MARK_LOADS_MAX && this.#state !== "closed"; tries++) {
      const again = whatMarkNeeds(this.#home!, this.#userState!, frame);
      if (again === undefined) break;
      yield* again;
    }
    if (this.#state !== "closed") this.#markNow(frame);
  }

  #markNow(frame: ReceivedFrame | ReadFrame): void {
    try {
      actOnMark(this.#home!, this.#userState!, frame);
    } catch (error) {
      const refusal = refusalOf(error);
      if (refusal === undefined) throw error;
      this.#refuse(undefined, refusal);
    }
  }

  #putAside(frame: ClientFrame, bytes: number): void {
    if (this.#inbox.length < INBOX_FRAMES_MAX) {
      this.#inbox.push(frame);
      this.#asideBytes += bytes;
      this.#inboxBytes += bytes;
      return this.#account();
    }
    const detail = `${INBOX_FRAMES_MAX} frames wait already; send again after live`;
    const error = new AppError("rate_limited", detail, { retryAfterMs: OVERFLOW_RETRY_MS });
    this.#hasOverflowed = true;
    this.#refuse(frame.t === "send" ? frame.ref : undefined, error);
  }

  #send(frame: SendFrame): void {
    if (this.#sendsRefusedUntil > 0) {
      const retryAfterMs = Math.ceil(this.#sendsRefusedUntil - this.#context.clock.monotonicMs());
      if (retryAfterMs > 0) {
        return this.#refuse(
          frame.ref,
          new AppError("rate_limited", "frames before this one were refused; send again in their order", {
            retryAfterMs,
          }),
        );
      }
      this.#sendsRefusedUntil = 0;
    }
    const rest = sendMessage(this.#home!, this.#userState!, requestOf(frame), this);
    if (rest !== undefined) this.#hold(rest);
  }

  #refuse(ref: string | undefined, error: AppError): void {
    if (this.#state === "closed") return;
    if (this.#state === "new") return this.close(CLOSE.protocolError, error.message);
    const { code, message: detail, retryAfterMs } = error;
    this.#outbox.push(JSON.stringify({ t: "error", ref, code, detail, retryAfterMs }));
    this.#refusals ??= new RefusalCount(this.#context.clock);
    if (!this.#refusals.isTooMany(error)) return;
    this.#connection.misbehaved();
    this.#close(CLOSE.tooManyRefused, "too many frames were refused", undefined, FLOOD_LINGER_MS);
  }

  #tooSlow(): void {
    this.close(CLOSE.tooSlow, "the client reads too slowly; come back with the cursor");
  }

  #helloCame(): void {
    this.#cancelHelloTimeout?.();
    this.#cancelHelloTimeout = undefined;
  }

  #release(): void {
    this.#helloCame();
    this.#stallWatch?.end();
    this.#cancelWait?.();
    this.#outbox.close();
    this.#catchUp = undefined;
    this.#inbox = [];
    this.#held = [];
    this.#unacted = [];
    this.#inboxBytes = 0;
    this.#asideBytes = 0;
    this.#home?.detach(this);
  }
}

function requestOf({ ref, to, text, retry }: SendFrame): SendRequest {
  return { ref, to: to as Address, text, retry: retry === true };
}
