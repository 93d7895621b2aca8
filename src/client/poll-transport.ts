/**
 * Long poll as a transport, where no socket is available: `POST /v1/sync` brings frames, `POST /v1/messages` sends
 * messages one at a time, and so in order. To its owner it looks like a socket: `hello` starts it, the first reply
 * begins with a `welcome` made from the reply's cursor, and `live` follows when there is no more.
 *
 * Invariant: a call carries a cursor only after everything up to it was handled and saved, because that cursor acts as
 * `received`.
 */
import { CLOSE } from "../protocol/codes.ts";
import type {
  Cursor,
  HelloFrame,
  Limits,
  SendFrame,
  ServerFrame,
  StreamPosition,
  WelcomeFrame,
} from "../protocol/frames.ts";
import type { SyncReply } from "../protocol/http-shapes.ts";
import type { ClientClock } from "./clock.ts";
import { ParleyError } from "./errors.ts";
import { postMessage, sync, type Posted, type Server } from "./http.ts";
import { streamOf, TIMELINE } from "./positions.ts";
import type { Transport, TransportEvents } from "./transport.ts";

export type PollOptions = {
  server: Server;
  clock: ClientClock;
  waitMs: number;
  /** Resolves with the cursor when all frames so far are handled and it is saved. */
  settled(): Promise<Cursor | undefined>;
  limits: Limits;
};

/** A reply that is this late is not coming. */
const GRACE_MS = 10_000;
/** Limits the rate against a server that always answers at once with nothing. */
const EMPTY_PAUSE_MS = 250;
const NETWORK_LOST = 1006;
const UNKNOWN_HISTORY: Cursor = { epoch: "none", timeline: 1, groups: {} };

export function startPoll(options: PollOptions, events: TransportEvents): Transport {
  const poll = new Poll(options, events);
  queueMicrotask(() => poll.open());
  return {
    kind: "poll",
    carriesMarks: false,
    window: 1,
    send(frame) {
      if (frame.t === "hello") void poll.run(frame);
      else if (frame.t === "send") void poll.post(frame);
    },
    close: () => poll.stop(),
  };
}

class Poll {
  readonly #options: PollOptions;
  readonly #events: TransportEvents;
  readonly #abort = new AbortController();
  readonly #server: Server;
  #isOver = false;

  constructor(options: PollOptions, events: TransportEvents) {
    this.#options = options;
    this.#events = events;
    this.#server = { ...options.server, signal: this.#abort.signal };
  }

  open(): void {
    if (!this.#isOver) this.#events.opened();
  }

  stop(): void {
    this.#isOver = true;
    this.#abort.abort();
  }

  async run(hello: HelloFrame): Promise<void> {
    let cursor = hello.cursor ?? (await this.#heads());
    let isLive = false;
    for (let isFirst = true; !this.#isOver; isFirst = false) {
      const startedMs = this.#options.clock.monotonicMs();
      if (cursor === undefined) return;
      const reply = await this.#sync(cursor, isLive ? this.#options.waitMs : 0);
      if (reply === undefined || this.#isOver) return;
      if (isFirst && hello.cursor !== undefined) this.#events.frame(welcomeOf(reply, this.#options.limits));
      // Nothing is emitted after the owner has closed this transport in the middle of a page.
      for (const frame of reply.frames) if (!this.#isOver) this.#events.frame(frame);
      if (!isLive && !reply.more && !this.#isOver) this.#events.frame({ t: "live" });
      isLive ||= !reply.more;
      cursor = await this.#options.settled();
      const tookMs = this.#options.clock.monotonicMs() - startedMs;
      if (!isFirst && reply.frames.length === 0 && tookMs < EMPTY_PAUSE_MS) await this.#pause(EMPTY_PAUSE_MS);
    }
  }

  /**
   * A device that starts now has no cursor, but `sync` needs one. A cursor with an unknown epoch is answered with
   * `reset` and today's heads.
   */
  async #heads(): Promise<Cursor | undefined> {
    const reply = await this.#sync(UNKNOWN_HISTORY, 0);
    if (reply === undefined || this.#isOver) return undefined;
    this.#events.frame(welcomeOf({ ...reply, frames: [] }, this.#options.limits));
    return reply.cursor;
  }

  async post(frame: SendFrame): Promise<void> {
    try {
      const posted = await postMessage(this.#server, { to: frame.to, text: frame.text, ref: frame.ref });
      if (!this.#isOver) this.#events.acked(sentOf(frame, posted));
    } catch (error) {
      if (this.#isOver) return;
      const refusal = asParleyError(error);
      if (refusal.status === 0 || refusal.status === 401) this.#fail(refusal);
      else this.#events.frame(errorOf(frame.ref, refusal));
    }
  }

  async #sync(cursor: Cursor, waitMs: number): Promise<SyncReply | undefined> {
    const cancel = this.#options.clock.after(waitMs + GRACE_MS, () =>
      this.#fail(new ParleyError("unavailable", "sync: no answer in time")),
    );
    try {
      return await sync(this.#server, { cursor, waitMs });
    } catch (error) {
      this.#fail(asParleyError(error));
      return undefined;
    } finally {
      cancel();
    }
  }

  #fail(error: ParleyError): void {
    if (this.#isOver) return;
    this.stop();
    if (error.status === 401) return this.#events.closed(CLOSE.badToken, error.detail);
    if (error.retryAfterMs === undefined) return this.#events.closed(NETWORK_LOST, error.detail);
    this.#events.frame({ t: "bye", code: CLOSE.tryLater, reason: error.detail, afterMs: error.retryAfterMs });
    this.#events.closed(CLOSE.tryLater, error.detail);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.clock.after(ms, resolve));
  }
}

/**
 * Heads chosen so that the first frame of each stream in the reply is the entry after its head: `reset` starts from
 * these heads.
 */
function welcomeOf(reply: SyncReply, limits: Limits): WelcomeFrame {
  const firsts = new Map<string, number>();
  for (const frame of reply.frames) {
    const entry = firstSeqOf(frame);
    if (entry !== undefined && !firsts.has(entry.stream)) firsts.set(entry.stream, entry.seq);
  }
  const headOf = (stream: string, seq: number): number => (firsts.get(stream) ?? seq + 1) - 1;
  const groups: Record<string, StreamPosition> = {};
  for (const [group, at] of Object.entries(reply.cursor.groups))
    groups[group] = { epoch: at.epoch, seq: headOf(group, at.seq) };
  const { epoch, timeline } = reply.cursor;
  const heads = { epoch, timeline: headOf(TIMELINE, timeline), groups, marks: reply.cursor.marks ?? 0 };
  return { t: "welcome", user: "", device: "", node: "", ...heads, heartbeatMs: 0, limits };
}

function firstSeqOf(frame: ServerFrame): { stream: string; seq: number } | undefined {
  switch (frame.t) {
    case "message":
    case "sent":
    case "membership":
    case "group":
      return { stream: streamOf(frame), seq: frame.seq };
    case "gap":
      return { stream: streamOf(frame), seq: frame.from };
    default:
      return undefined;
  }
}

function sentOf(frame: SendFrame, posted: Posted) {
  const { id, conversation, seq, sentAt } = posted;
  const sent = { t: "sent" as const, ref: frame.ref, id, conversation, seq, sentAt };
  return posted.duplicate === true ? { ...sent, duplicate: true as const } : sent;
}

function errorOf(ref: string, error: ParleyError): ServerFrame {
  const frame = { t: "error" as const, ref, code: error.code, detail: error.detail };
  return error.retryAfterMs === undefined ? frame : { ...frame, retryAfterMs: error.retryAfterMs };
}

function asParleyError(error: unknown): ParleyError {
  return error instanceof ParleyError ? error : new ParleyError("internal", String(error), { cause: error });
}
