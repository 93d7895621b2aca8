/**
 * A server for one user, as small as the protocol allows, that misbehaves on request. It keeps logs, streams them to sockets and polls, and
 * remembers what clients said. Not the real server: here a test decides when a connection breaks, what is lost and what is refused.
 */
import type { Server, ServerWebSocket } from "bun";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import type {
  ClientFrame,
  Cursor,
  EntryFrame,
  HelloFrame,
  ReceivedFrame,
  SendFrame,
  SentFrame,
  ServerFrame,
} from "../../src/protocol/frames.ts";

type Session = { isWelcome: boolean; framesLeft: number };
type Socket = ServerWebSocket<Session>;
type Group = { epoch: string; log: EntryFrame[] };

export class ScriptedServer {
  readonly timeline: EntryFrame[] = [];
  readonly groups = new Map<string, Group>();
  epoch = "e1";
  readonly hellos: HelloFrame[] = [];
  readonly sends: SendFrame[] = [];
  readonly received: ReceivedFrame[] = [];
  readonly said: ClientFrame[] = [];
  syncs = 0;
  posts = 0;
  upgrades = 0;
  routes = 0;

  // ---- what a test may set
  /** Frames that each next connection may carry before it is cut; the last one stays. */
  framesPerConnection: number[] = [Number.POSITIVE_INFINITY];
  cutCode = 4000;
  losesSent = 0;
  answersHello = true;
  answersPing = true;
  /** Also where no cursor came, so that nothing was missed. */
  saysLiveAlways = false;
  refusesUpgrade = false;
  closesHelloWith: { code: number; afterMs?: number; url?: string } | undefined;
  /** Answers to the next sends: an error, or undefined for none. */
  refusals: ({ code: string; retryAfterMs?: number } | undefined)[] = [];
  /** Where it says that the user lives; undefined: it does not know the call. */
  home: string | undefined;
  resumeEntriesMax = 1000;
  heartbeatMs = 60_000;

  readonly #stored = new Map<string, SentFrame>();
  readonly #sockets = new Set<Socket>();
  readonly #server: Server<Session>;
  #wakeups: (() => void)[] = [];

  constructor() {
    this.#server = Bun.serve<Session>({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => this.#fetch(request, server),
      websocket: {
        message: (socket, data) => this.#message(socket, JSON.parse(String(data)) as ClientFrame),
        close: (socket) => void this.#sockets.delete(socket),
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    for (const wake of this.#wakeups.splice(0)) wake();
    await this.#server.stop(true);
  }

  /** A message of somebody else, or (with `ref`) of another device of the user. */
  post(conversation: string, text: string, ref?: string): EntryFrame {
    const from = ref === undefined ? "bob" : "me";
    const log = this.#logOf(conversation);
    const seq = log.length + 1;
    const frame: EntryFrame = {
      t: "message",
      id: `${conversation}-${seq}`,
      conversation,
      from,
      text,
      seq,
      sentAt: 1,
      ...(ref === undefined ? {} : { ref }),
    };
    this.#append(log, frame);
    return frame;
  }

  /** Puts the user into a group. `groupFirst`: its own entry is streamed before the membership. */
  join(group: string, groupFirst = false): void {
    const state = this.groups.get(group) ?? { epoch: `${group}-1`, log: [] };
    this.groups.set(group, state);
    const seq = state.log.length + 1;
    const own: EntryFrame = { t: "group", conversation: group, seq, change: "joined", by: "bob", at: 1, user: "me" };
    const place: EntryFrame = {
      t: "membership",
      seq: this.timeline.length + 1,
      conversation: group,
      change: "joined",
      groupSeq: seq,
      epoch: state.epoch,
    };
    if (groupFirst) this.#append(state.log, own);
    this.#append(this.timeline, place);
    if (!groupFirst) this.#append(state.log, own);
  }

  /** To every connected device, as it is. */
  push(frame: ServerFrame): void {
    for (const socket of this.#sockets) if (socket.data.isWelcome) this.#out(socket, frame);
  }

  cutAll(code = 4000): void {
    for (const socket of this.#sockets) socket.close(code);
  }

  #append(log: EntryFrame[], frame: EntryFrame): void {
    log.push(frame);
    this.push(frame);
    for (const wake of this.#wakeups.splice(0)) wake();
  }

  async #fetch(request: Request, server: Server<Session>): Promise<Response | undefined> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/v1/ws") {
      this.upgrades++;
      if (this.refusesUpgrade) return new Response("no sockets here", { status: 403 });
      const framesLeft =
        (this.framesPerConnection.length > 1 ? this.framesPerConnection.shift() : this.framesPerConnection[0]) ?? 0;
      server.upgrade(request, { data: { isWelcome: false, framesLeft } });
      return undefined;
    }
    if (request.headers.get("authorization") !== "Bearer good") return problem(401, { code: "unauthorized" });
    if (pathname === "/v1/route") return this.#route();
    if (pathname === "/v1/entries") return this.#entries(searchParams);
    const body = (await request.json()) as { cursor: Cursor; waitMs: number } & SendFrame;
    return pathname === "/v1/sync" ? this.#sync(body.cursor, body.waitMs) : this.#posted(body);
  }

  #message(socket: Socket, frame: ClientFrame): void {
    if (socket.readyState !== WebSocket.OPEN) return;
    this.said.push(frame);
    switch (frame.t) {
      case "hello":
        return this.#hello(socket, frame);
      case "send":
        return this.#send(socket, frame);
      case "received":
        return void this.received.push(frame);
      case "ping":
        if (this.answersPing) this.#out(socket, { t: "pong" });
        return;
      case "read":
        return;
    }
  }

  #hello(socket: Socket, hello: HelloFrame): void {
    this.hellos.push(hello);
    if (!this.answersHello) return;
    const bye = hello.token === "good" ? this.closesHelloWith : { code: 4500 };
    if (bye !== undefined) {
      socket.send(JSON.stringify({ t: "bye", reason: "as asked", ...bye }));
      return socket.close(bye.code);
    }
    this.#sockets.add(socket);
    socket.data.isWelcome = true;
    const groups = Object.fromEntries(
      [...this.groups].map(([name, { epoch, log }]) => [name, { epoch, seq: log.length }]),
    );
    const heads = { epoch: this.epoch, timeline: this.timeline.length, groups, marks: 0 };
    this.#out(socket, {
      t: "welcome",
      user: "me",
      device: "d1",
      node: "n",
      ...heads,
      heartbeatMs: this.heartbeatMs,
      limits: DEFAULT_LIMITS,
    });
    if (hello.cursor !== undefined) for (const frame of this.#missed(hello.cursor)) this.#out(socket, frame);
    if (hello.cursor !== undefined || this.saysLiveAlways) this.#out(socket, { t: "live" });
  }

  #send(socket: Socket, frame: SendFrame): void {
    this.sends.push(frame);
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return this.#out(socket, { t: "error", ref: frame.ref, detail: "as asked", ...refusal });
    const stored = this.#stored.get(frame.ref);
    const sent: SentFrame = stored === undefined ? this.#store(frame, socket) : { ...stored, duplicate: true };
    if (this.losesSent > 0) {
      this.losesSent--;
      return socket.close(4000);
    }
    this.#out(socket, sent);
  }

  #store(frame: { ref: string; to: string; text: string }, sender?: Socket): SentFrame {
    const log = this.#logOf(frame.to);
    const seq = log.length + 1;
    const entry: EntryFrame = {
      t: "message",
      id: `${frame.to}-${seq}`,
      conversation: frame.to,
      from: "me",
      text: frame.text,
      seq,
      sentAt: 1,
      ref: frame.ref,
    };
    log.push(entry);
    for (const socket of this.#sockets) if (socket !== sender && socket.data.isWelcome) this.#out(socket, entry);
    for (const wake of this.#wakeups.splice(0)) wake();
    const sent: SentFrame = { t: "sent", ref: frame.ref, id: entry.id, conversation: frame.to, seq, sentAt: 1 };
    this.#stored.set(frame.ref, sent);
    return sent;
  }

  #missed(cursor: Cursor): ServerFrame[] {
    const frames: ServerFrame[] = [];
    const follow = (
      log: EntryFrame[],
      epoch: string,
      has: { epoch: string; seq: number },
      name: { conversation?: string },
    ): void => {
      let { seq } = has;
      if (seq > 0 && has.epoch !== epoch) return void frames.push({ t: "reset", ...name });
      if (log.length - seq > this.resumeEntriesMax) {
        frames.push({ t: "gap", from: seq + 1, to: log.length, ...name });
        seq = log.length;
      }
      frames.push(...log.slice(seq));
    };
    follow(this.timeline, this.epoch, { epoch: cursor.epoch, seq: cursor.timeline }, {});
    for (const [name, { epoch, log }] of this.groups) {
      const joined = this.timeline.findLast((entry) => entry.t === "membership" && entry.conversation === name);
      const start = joined?.t === "membership" ? joined.groupSeq - 1 : log.length;
      follow(log, epoch, cursor.groups[name] ?? { epoch, seq: start }, { conversation: name });
    }
    return frames;
  }

  async #sync(cursor: Cursor, waitMs: number): Promise<Response> {
    this.syncs++;
    let frames = this.#missed(cursor);
    if (frames.length === 0 && waitMs > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakeups.push(resolve);
      setTimeout(resolve, waitMs);
      await promise;
      frames = this.#missed(cursor);
    }
    const groups = Object.fromEntries(
      [...this.groups].map(([name, { epoch, log }]) => [name, { epoch, seq: log.length }]),
    );
    return Response.json({
      frames,
      cursor: { epoch: this.epoch, timeline: this.timeline.length, groups, marks: 0 },
      more: false,
    });
  }

  #route(): Response {
    this.routes++;
    if (this.home === undefined) return problem(404, { code: "not_found" });
    return Response.json({ shard: 1, node: "n", url: this.home });
  }

  #posted(body: SendFrame): Response {
    this.posts++;
    const refusal = this.refusals.shift();
    if (refusal !== undefined) return problem(429, refusal);
    const stored = this.#stored.get(body.ref);
    const { t: _, ...message } = stored ?? this.#store(body);
    return Response.json(
      { ...message, from: "me", text: body.text, ...(stored === undefined ? {} : { duplicate: true }) },
      { status: stored === undefined ? 201 : 200 },
    );
  }

  #entries(query: URLSearchParams): Response {
    const log = this.#logOf(query.get("conversation") ?? "@");
    const after = Number(query.get("after"));
    const frames = log.slice(after, after + 3);
    return Response.json({ frames, after: after + frames.length, more: after + frames.length < log.length });
  }

  #logOf(conversation: string): EntryFrame[] {
    return conversation.startsWith("#") ? (this.groups.get(conversation)?.log ?? []) : this.timeline;
  }

  #out(socket: Socket, frame: ServerFrame): void {
    if (socket.data.framesLeft-- <= 0) return socket.close(this.cutCode);
    socket.send(JSON.stringify(frame));
  }
}

function problem(status: number, fields: object): Response {
  return Response.json({ type: "about:blank", title: "refused", status, detail: "as asked", ...fields }, { status });
}
