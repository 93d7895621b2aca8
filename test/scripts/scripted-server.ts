/**
 * As much of Parley as the import meets, in memory and without promises: one that can be told to lie, so that it shows whether `--verify`
 * notices. What it does honestly follows docs/protocol.md.
 */
import type { ServerWebSocket } from "bun";
import { DEFAULT_LIMITS } from "../../src/domain/limits.ts";
import type {
  ClientFrame,
  Cursor,
  EntryFrame,
  HelloFrame,
  SendFrame,
  SentFrame,
  WelcomeFrame,
  WireMessage,
} from "../../src/protocol/frames.ts";

export type Lies = {
  /** What a history page shows of these messages. */
  history?: (messages: WireMessage[], reader: string) => WireMessage[];
  /** What a resume streams, of all entries in order. */
  resume?: (entries: EntryFrame[], user: string) => EntryFrame[];
  /** What becomes of a live message on its way to `user`. */
  live?: (message: EntryFrame, user: string) => EntryFrame[];
};

type User = {
  id: string;
  password: string | undefined;
  timeline: EntryFrame[];
  sent: Map<string, SentFrame>;
  sockets: Set<Socket>;
};
type Group = { id: string; log: EntryFrame[]; members: Set<string>; name: string };
type Socket = ServerWebSocket<{ user: User | undefined }>;
type Body = { user?: string; password?: string; id?: string; name?: string; members?: string[] };

const EPOCH = "e1";
export const API_KEY = "key-of-the-scripted-server";

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
  }
}

export class ScriptedServer {
  readonly users = new Map<string, User>();
  readonly groups = new Map<string, Group>();
  lies: Lies = {};
  private lastId = 0;
  private readonly server = Bun.serve<{ user: User | undefined }>({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, server) => {
      if (new URL(request.url).pathname !== "/v1/ws") return this.answer(request);
      return server.upgrade(request, { data: { user: undefined } }) ? undefined : new Response(null, { status: 400 });
    },
    websocket: {
      message: (ws, text) => this.onFrame(ws, JSON.parse(String(text)) as ClientFrame),
      close: (ws) => void ws.data.user?.sockets.delete(ws),
    },
  });

  get url(): string {
    return `http://127.0.0.1:${this.server.port}`;
  }

  async end(): Promise<void> {
    await this.server.stop(true);
  }

  // ---- HTTP

  private async answer(request: Request): Promise<Response> {
    try {
      const text = await request.text();
      const [status, body] = this.call(request, text === "" ? {} : (JSON.parse(text) as Body));
      return body === undefined ? new Response(null, { status }) : Response.json(body, { status });
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return Response.json({ code: error.code, detail: "refused", status: error.status }, { status: error.status });
    }
  }

  private call(request: Request, body: Body): [status: number, body?: unknown] {
    const { pathname, searchParams } = new URL(request.url);
    const [, , what, which, more, last] = pathname.split("/").map(decodeURIComponent);
    const method = `${request.method} ${what}${more === undefined ? "" : ` ${more}`}`;
    if (method === "POST register") return [201, this.credentials(this.create(body.user ?? "", body.password))];
    if (method === "POST login") return [200, this.credentials(this.loggedIn(body))];
    if (method === "POST users" || method === "POST users token") {
      if (request.headers.get("x-api-key") !== API_KEY) throw new Refusal(401, "unauthorized");
      if (more === "token") return [201, this.credentials(this.user(which ?? ""))];
      const isThere = this.users.has(body.user ?? "");
      return [
        isThere ? 200 : 201,
        { user: (isThere ? this.user(body.user ?? "") : this.create(body.user ?? "", undefined)).id },
      ];
    }
    const user = this.user(request.headers.get("authorization")?.slice("Bearer ".length) ?? "");
    if (method === "POST logout") return [204];
    if (method === "POST groups") return [201, this.shown(this.createGroup(user, body))];
    if (method === "GET groups") return [200, this.shown(this.group(which ?? ""))];
    if (method === "PUT groups members") {
      this.join(this.group(which ?? ""), this.user(last ?? ""));
      return [204];
    }
    if (method !== "GET conversations messages") throw new Refusal(404, "not_found");
    return [
      200,
      this.history(user, which ?? "", Number(searchParams.get("after") ?? 0), Number(searchParams.get("limit") ?? 30)),
    ];
  }

  private create(id: string, password: string | undefined): User {
    if (this.users.has(id)) throw new Refusal(409, "user_taken");
    const user: User = { id, password, timeline: [], sent: new Map(), sockets: new Set() };
    this.users.set(id, user);
    return user;
  }

  private loggedIn({ user: id, password }: Body): User {
    const user = this.users.get(id ?? "");
    if (user?.password === undefined || user.password !== password) throw new Refusal(401, "bad_credentials");
    return user;
  }

  private credentials(user: User) {
    return { user: user.id, device: "d", token: user.id };
  }

  private user(id: string): User {
    const user = this.users.get(id);
    if (user === undefined) throw new Refusal(404, "unknown_address");
    return user;
  }

  private group(id: string): Group {
    const group = this.groups.get(id);
    if (group === undefined) throw new Refusal(404, "unknown_address");
    return group;
  }

  private shown({ id, name, members, log }: Group) {
    return {
      id,
      name,
      createdAt: 1,
      head: { epoch: EPOCH, seq: log.length },
      members: [...members].map((user) => ({ user, role: "member" })),
    };
  }

  private createGroup(creator: User, body: Body): Group {
    const id = body.id ?? "";
    if (this.groups.has(id)) throw new Refusal(409, "group_taken");
    const group: Group = { id, log: [], members: new Set(), name: body.name ?? id };
    this.groups.set(id, group);
    group.log.push({
      t: "group",
      conversation: `#${id}`,
      seq: 1,
      change: "created",
      by: creator.id,
      at: 1,
      members: body.members ?? [],
    });
    for (const member of new Set([creator.id, ...(body.members ?? [])])) this.join(group, this.user(member));
    return group;
  }

  private join(group: Group, user: User): void {
    if (group.members.has(user.id)) return;
    group.members.add(user.id);
    const seq = user.timeline.length + 1;
    const membership: EntryFrame = {
      t: "membership",
      seq,
      conversation: `#${group.id}`,
      change: "joined",
      groupSeq: 1,
      epoch: EPOCH,
    };
    user.timeline.push(membership);
  }

  private history(user: User, conversation: string, after: number, limit: number) {
    const log = conversation.startsWith("#") ? this.group(conversation.slice(1)).log : user.timeline;
    const all = log.filter(
      (entry): entry is EntryFrame & { t: "message" } => entry.t === "message" && entry.conversation === conversation,
    );
    const rest = all.filter((entry) => entry.seq > after);
    const page = rest.slice(0, limit).map(({ t: _, ...message }) => this.withoutForeignRef(message, user));
    const lied = this.lies.history?.(page, user.id) ?? page;
    return { messages: lied, ...(rest.length > limit ? { after: page.at(-1)?.seq } : {}) };
  }

  private withoutForeignRef<T extends { from: string; ref?: string }>(message: T, reader: User): T {
    if (message.from === reader.id) return message;
    const { ref: _, ...rest } = message;
    return rest as T;
  }

  // ---- sockets

  private onFrame(ws: Socket, frame: ClientFrame): void {
    if (frame.t === "hello") this.hello(ws, frame);
    else if (frame.t === "send" && ws.data.user !== undefined) this.send(ws, ws.data.user, frame);
    else if (frame.t === "ping") ws.send('{"t":"pong"}');
  }

  private hello(ws: Socket, { token, cursor }: HelloFrame): void {
    const user = this.user(token);
    ws.data.user = user;
    const groups: WelcomeFrame["groups"] = {};
    for (const group of this.groupsOf(user)) groups[`#${group.id}`] = { epoch: EPOCH, seq: group.log.length };
    const welcome: WelcomeFrame = {
      ...{
        t: "welcome",
        user: user.id,
        device: "d",
        node: "n",
        epoch: EPOCH,
        timeline: user.timeline.length,
        groups,
        marks: 0,
      },
      ...{ heartbeatMs: 60_000, limits: DEFAULT_LIMITS },
    };
    ws.send(JSON.stringify(welcome));
    if (cursor !== undefined) {
      const missed = this.missed(user, cursor);
      for (const entry of this.lies.resume?.(missed, user.id) ?? missed) ws.send(JSON.stringify(entry));
      ws.send('{"t":"live"}');
    }
    user.sockets.add(ws);
  }

  private groupsOf(user: User): Group[] {
    return [...this.groups.values()].filter((group) => group.members.has(user.id));
  }

  private missed(user: User, cursor: Cursor): EntryFrame[] {
    const entries = user.timeline.slice(cursor.timeline);
    for (const group of this.groupsOf(user)) entries.push(...group.log.slice(cursor.groups[`#${group.id}`]?.seq ?? 0));
    return entries.map((entry) => (entry.t === "message" ? this.withoutForeignRef(entry, user) : entry));
  }

  private send(ws: Socket, user: User, frame: SendFrame): void {
    const known = user.sent.get(frame.ref);
    if (known !== undefined) {
      ws.send(JSON.stringify({ ...known, duplicate: true }));
      return;
    }
    const message = { id: `m${++this.lastId}`, from: user.id, text: frame.text, sentAt: 1 };
    const group = frame.to.startsWith("#") ? this.group(frame.to.slice(1)) : undefined;
    const seq = this.append(group?.log ?? user.timeline, { ...message, conversation: frame.to, ref: frame.ref });
    const sent: SentFrame = { t: "sent", ref: frame.ref, id: message.id, conversation: frame.to, seq, sentAt: 1 };
    user.sent.set(frame.ref, sent);
    ws.send(JSON.stringify(sent));
    if (group !== undefined) {
      for (const member of group.members)
        if (member !== user.id) this.show(this.user(member), { ...message, conversation: frame.to, seq });
    } else if (frame.to !== `@${user.id}`) {
      const receiver = this.user(frame.to.slice(1));
      const conversation = `@${user.id}`;
      this.show(receiver, {
        ...message,
        conversation,
        seq: this.append(receiver.timeline, { ...message, conversation }),
      });
    }
  }

  private append(log: EntryFrame[], message: Omit<WireMessage, "seq">): number {
    return log.push({ t: "message", ...message, seq: log.length + 1 });
  }

  private show(user: User, message: WireMessage): void {
    const entry: EntryFrame = { t: "message", ...message };
    for (const shown of this.lies.live?.(entry, user.id) ?? [entry])
      for (const socket of user.sockets) socket.send(JSON.stringify(shown));
  }
}
