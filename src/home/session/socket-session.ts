/**
 * One WebSocket: from `hello` to `bye`.
 *
 *     new → authenticating → catching up → live → closed
 *
 * The message handler is synchronous: decode, act or put aside, return. What acts later (the log, the catch-up) answers through the outbox.
 *
 * Invariants
 * - Nothing is sent before `welcome` but an error or `bye`.
 * - While it catches up, live entries are not pushed: the catch-up reads them from the log. It ends in the same turn in which it has reached all heads.
 * - Sends that come before `live` wait in a bounded inbox, so that `sent` continues the stream like every other entry.
 * - Frames are acted on in the order in which they came, at once or in turns (frame-turns.ts). One that needs a user or group who has to be loaded first waits for that, and those behind
 *   it wait, too (G4).
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
import { Outbox } from "./outbox.ts";
import { RefusalCount } from "./refusal-count.ts";
import type { SocketContext } from "./socket-context.ts";
import { StallWatch } from "./stall-watch.ts";
import { UntoldBytes } from "./untold-bytes.ts";
import type { UserShare } from "./user-shares.ts";
import type { Holder } from "./waiting-bytes.ts";

const INBOX_FRAMES_MAX = 256;
const CATCH_UP_FRAMES = 256;
const HELLO_TIMEOUT_MS = 5000;
const OVERFLOW_RETRY_MS = 1000;
const FAILED_RETRY_MS = 5000;
const HELLO_RETRY_MS = 1000;
const GAVE_WAY_RETRY_MS = 10_000;
const SOCKETS_OVER_SESSIONS = 2;
/** How long a closed connection may take to go: one that is slow to read the reason, and one that sent without measure. */
const LINGER_MS = 5000;
const FLOOD_LINGER_MS = 20;

type State = "new" | "authenticating" | "catching-up" | "live" | "closed";

const NO_USER = "" as UserId;
const NO_DEVICE = "" as DeviceId;

const inboxFull = (bytesMax: number): AppError =>
  new AppError("rate_limited", `${bytesMax} bytes of frames wait already; send again later`, {
    retryAfterMs: OVERFLOW_RETRY_MS,
  });

export class SocketSession implements Session, SendReply, TurnTaker, Holder {
  readonly #context: SocketContext;
  readonly #socket: ClientSocket;
  readonly #outbox: Outbox;
  readonly #refusals: RefusalCount;
  readonly #budget: FrameBudget;
  readonly #untold: UntoldBytes;
  readonly #connection: ClientConnection;
  readonly #cancelHelloTimeout: () => void;
  readonly #stallWatch: StallWatch;
  #state: State = "new";
  /** The home of its user. */
  #home: Shard | undefined;
  #userState: UserState | undefined;
  #catchUp: CatchUp | undefined;
  #cancelWait: (() => void) | undefined;
  /** A step of the catch-up is under way or waits for its turn. */
  #isReading = false;
  #inbox: ClientFrame[] = [];
  /** A frame waits for what is being loaded. */
  #isHeld = false;
  /** Frames that came before `live`, and wait behind it. */
  #held: ClientFrame[] = [];
  /** Frames that came faster than their turn, or while one was held. */
  #unacted: string[] = [];
  #isInTurns = false;
  /** Of all three, and of the first two. */
  #inboxBytes = 0;
  #asideBytes = 0;
  /** What the runtime held for the client when it was last asked: of a closed socket it does not say any more. */
  #bufferedBytes = 0;
  #isReleased = false;
  #hasOverflowed = false;
  #token = "";
  #sendsRefusedUntil = 0;
  user = NO_USER;
  device = NO_DEVICE;
  share: UserShare | undefined;
  heldBytes = 0;
  /** Once it is closed, its client gets so long to read why. */
  lingerMs = LINGER_MS;

  constructor(socket: ClientSocket, context: SocketContext, connection: ClientConnection) {
    this.#socket = socket;
    this.#connection = connection;
    this.#context = context;
    this.#outbox = new Outbox(
      socket,
      context.flusher,
      context.outboxBytesMax,
      () => this.#tooSlow(),
      () => this.#account(),
      (error) => this.failed(error),
    );
    this.#stallWatch = new StallWatch(
      context.clock,
      () => this.#outbox.queuedBytes,
      () => this.#tooSlow(),
    );
    this.#refusals = new RefusalCount(context.clock);
    this.#budget = new FrameBudget(context.frameRates, context.clock);
    this.#untold = new UntoldBytes(this.#budget, context.frameRates, context.clock);
    this.#cancelHelloTimeout = context.clock.after(HELLO_TIMEOUT_MS, () => {
      if (this.#state === "new") this.close(CLOSE.protocolError, `no hello within ${HELLO_TIMEOUT_MS} ms`);
    });
  }

  // ---- from the socket

  received(data: string | Buffer): void {
    if (this.#state === "closed") return;
    const verdict = this.#budget.take(data.length);
    try {
      if (verdict === "far-beyond") return this.#farBeyond();
      if (typeof data !== "string")
        return this.#refuse(undefined, new AppError("bad_request", "frame: is binary; frames are JSON text"));
      if (verdict === "short") return this.#refuseUnacted(data, this.#beyondBudget());
      if (verdict === "act" && this.#unacted.length === 0 && !this.#isHeld) return this.#take(data);
      this.#waitForTurn(data);
    } catch (error) {
      this.#failed(error);
    }
  }

  /** A ping or a pong of so many bytes. The runtime answers it by itself; it costs as much as any other frame. */
  heard(bytes: number): void {
    if (this.#state === "closed") return;
    const verdict = this.#budget.take(bytes);
    if (verdict === "far-beyond") this.#farBeyond();
    // What the runtime has answered may wait here, unread.
    else if (verdict !== "act") this.#account();
  }

  /**
   * So many bytes of the connection have been read since it began; what nobody was told of is charged here.
   * @returns whether the connection is to be ended: it was closed, and goes on all the same
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

  /** Also when saying goodbye fails: nothing that concerns one connection may reach the others. */
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
    this.close(CLOSE.tryLater, "something unforeseen went wrong; the server's log has it", FAILED_RETRY_MS);
  }

  #take(data: string): void {
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

  /** @returns whether more wait */
  actOnNext(): boolean {
    if (!this.#isHeld) this.#takeUnacted();
    this.#isInTurns = this.#unacted.length > 0 && !this.#isHeld;
    return this.#isInTurns;
  }

  #takeUnacted(): void {
    const data = this.#unacted.shift();
    if (data === undefined || this.#state === "closed") return;
    this.#inboxBytes -= data.length;
    try {
      this.#take(data);
    } catch (error) {
      this.#failed(error);
    }
    if (this.#unacted.length === 0) this.#account();
  }

  /** A send behind it must not end up before it (G4). */
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
    this.close(CLOSE.tooManyRefused, "far more frames than the limit", undefined, FLOOD_LINGER_MS);
  }

  #beyondBudget(): AppError {
    const { frames, bytes } = this.#context.frameRates;
    const retryAfterMs = this.#budget.waitMs;
    const detail = `more than ${frames.perSecond} frames or ${bytes.perSecond} bytes a second; go on in ${retryAfterMs} ms`;
    return new AppError("rate_limited", detail, { retryAfterMs });
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

  /** The node has no room for what waits here. What a client has not read it could not be told either: it is ended without a word. */
  release(): void {
    this.#isReleased = true;
    this.lingerMs = 0;
    // Of one that is closed already the runtime knows nothing any more; the kernel ends it.
    if (this.#state !== "closed") this.#socket.terminate();
  }

  /** Somebody else gets the place of this one. Closed already, it has had its time. */
  giveWay(): void {
    const isStranger = this.user === NO_USER;
    const reason = isStranger ? "too many connections have not said hello" : "others who have fewer need a connection";
    this.close(CLOSE.tryLater, reason, isStranger ? HELLO_RETRY_MS : GAVE_WAY_RETRY_MS, FLOOD_LINGER_MS);
    this.lingerMs = Math.min(this.lingerMs, FLOOD_LINGER_MS);
  }

  /** The connection is closed, by either end. What waits in it counts until it has gone. */
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

  entry(_place: EntryPlace, _seq: number, frame: string): void {
    if (this.#state === "live") this.#outbox.push(frame);
    else if (this.#state === "catching-up") this.#continueCatchUp();
  }

  notice(frame: string, mark?: number): void {
    // Told now, it would overtake those that the catch-up has yet to bring, and a client that counts marks would never ask for them again.
    if (this.#state === "catching-up" && mark !== undefined) this.#continueCatchUp();
    else if (this.#state === "live" || this.#state === "catching-up") this.#outbox.push(frame);
  }

  close(code: CloseCode, reason: string, afterMs?: number, lingerMs = LINGER_MS): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.lingerMs = lingerMs;
    const bye: ByeFrame = afterMs === undefined ? { t: "bye", code, reason } : { t: "bye", code, reason, afterMs };
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
    this.#cancelHelloTimeout();
    const waitMs = this.#context.penalties.waitMs(frame.token);
    if (waitMs > 0) this.#connection.misbehaved();
    if (waitMs > 0) return this.close(CLOSE.tryLater, "this device said far more than it may", waitMs, FLOOD_LINGER_MS);
    this.#token = frame.token;
    void this.#hello(frame);
  }

  async #hello(frame: HelloFrame): Promise<void> {
    try {
      const actor = await this.#context.accounts.authenticate(frame.token);
      if (this.#state !== "authenticating") return;
      const home = this.#context.home(actor.user);
      await home.turns.run(this.#enter(home, actor, frame.cursor));
      // Whoever logged the device out meanwhile did not find this session; from now on they do.
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

  /** Closed ones that have not gone may be as many again: whoever left just now, and comes back, finds room. */
  #hasTooMany({ user, sessions }: UserState): boolean {
    return (
      sessions.size >= SESSIONS_PER_USER_MAX ||
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
    const reason = refusal?.message ?? "the server cannot take you now";
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

  /** In a turn of its own: while the runtime is in a handler of the socket, the socket does not tell what is queued. */
  #continueCatchUp(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    setImmediate(this.#read);
  }

  readonly #read = (): void => {
    this.#home!.turns.run(this.#readOn()).catch((error: unknown) => this.failed(error));
  };

  /** Page by page, at the client's speed: a queue that is filling waits for `drained`, and a page is small enough not to fill it. */
  *#readOn(): Steps<void> {
    const pageBytes = this.#context.outboxBytesMax / 4;
    try {
      for (;;) {
        if (this.#state !== "catching-up" || this.#catchUp === undefined) return;
        if (this.#outbox.queuedBytes > pageBytes) return this.#stallWatch.begin();
        this.#stallWatch.end();
        const waitMs = this.#context.reads.waitMs(this.user);
        if (waitMs > 0) return this.#continueLater(waitMs);
        const page = new CatchUpPage(CATCH_UP_FRAMES, pageBytes, this.#context.clock);
        const isPresent = yield* this.#catchUp.read(page);
        this.#context.reads.spend(this.user, page.work);
        // It may have had to wait.
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

  /** The user has read more than they may for now. */
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

  /** Does these steps; what came behind the frame that needs them waits (G4). */
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
    // What did not fit before `live` comes again; until then nothing behind it is taken, which would end up before it (G4).
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
        return this.#refuse(undefined, new AppError("bad_request", "hello: was said already"));
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
    const detail = `${INBOX_FRAMES_MAX} frames wait for live already; send again after it`;
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
    if (!this.#refusals.isTooMany(error)) return;
    this.#connection.misbehaved();
    this.close(CLOSE.tooManyRefused, "too many frames were refused", undefined, FLOOD_LINGER_MS);
  }

  #tooSlow(): void {
    this.close(CLOSE.tooSlow, "the client reads too slowly; come back with the cursor");
  }

  #release(): void {
    this.#cancelHelloTimeout();
    this.#stallWatch.end();
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
