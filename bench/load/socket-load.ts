/** Users who come, write to each other once, and leave. */
import { Histogram } from "../measure/histogram.ts";
import { rounded } from "../measure/meter.ts";
import type { LoadTarget } from "./load.ts";
import { serveCalls } from "./remote.ts";
import { WebSocketClient, type FrameHandler } from "./websocket-client.ts";

/** With a cursor a user has come when everything missed is there. */
export type SocketLogin = { user: string; token: string; cursor?: object };
export type Coming = LoadTarget & { users: SocketLogin[]; atOnce: number };
/** `messages`: what was missed and came. Latencies are of one user, from the connection to `welcome` or `live`. */
export type Came = { seconds: number; p50Ms: number; p99Ms: number; messages: number };

const WAIT_MS = 60_000;
const LOOK_MS = 2;
const KEEP_ALIVE_MS = 10_000;

class SocketUser implements FrameHandler {
  readonly login: SocketLogin;
  messages = 0;
  #isHere = false;
  #socket!: WebSocketClient;
  #arrived = (): void => {};
  #failed = (_: Error): void => {};
  /** Resolves when the peer's message is here, and when the own one is acked. */
  #exchanged = (): void => {};
  #awaited = 0;
  readonly #fail: (reason: string) => void;

  constructor(login: SocketLogin, fail: (reason: string) => void) {
    this.login = login;
    this.#fail = fail;
  }

  async come(hostname: string, port: number): Promise<void> {
    const arrived = new Promise<void>((resolve, reject) => {
      this.#arrived = resolve;
      this.#failed = reject;
    });
    this.#socket = new WebSocketClient(hostname, port, this);
    await this.#socket.connect();
    await arrived;
    this.#isHere = true;
  }

  /** Sends one message to a user who sends one, too. */
  exchange(peer: string, ref: string): Promise<void> {
    const exchanged = new Promise<void>((resolve) => (this.#exchanged = resolve));
    this.#awaited = 2;
    this.#socket.write(JSON.stringify({ t: "send", ref, to: `@${peer}`, text: "good morning" }));
    this.#socket.flush();
    return exchanged;
  }

  ping(): void {
    if (!this.#isHere) return;
    this.#socket.write('{"t":"ping"}');
    this.#socket.flush();
  }

  leave(): void {
    this.#socket.close();
  }

  onOpen(): void {
    const { token, cursor } = this.login;
    this.#socket.write(JSON.stringify({ t: "hello", token, ...(cursor !== undefined && { cursor }) }));
  }

  onText(text: string): void {
    if (text.startsWith('{"t":"message"')) {
      this.messages++;
      this.#step();
    } else if (text.startsWith('{"t":"sent"')) this.#step();
    else if (text.startsWith('{"t":"welcome"')) {
      if (this.login.cursor === undefined) this.#arrived();
    } else if (text.startsWith('{"t":"live"')) this.#arrived();
    else if (/^\{"t":"(error|gap|reset|bye)"/.test(text)) this.onClose(text.slice(0, 300));
  }

  onChunkEnd(): void {}

  onClose(reason: string): void {
    const told = `${this.login.user}: ${reason}`;
    this.#failed(new Error(told));
    this.#fail(told);
  }

  #step(): void {
    if (--this.#awaited === 0) this.#exchanged();
  }
}

class Crowd {
  #users: SocketUser[] = [];
  #failure: string | undefined;
  #refs = 0;

  async come({ hostname, port, users, atOnce }: Coming): Promise<Came> {
    this.#users = users.map((login) => new SocketUser(login, (reason) => (this.#failure ??= reason)));
    const latency = new Histogram();
    const from = performance.now();
    const waiting = this.#users.values();
    const worker = async () => {
      for (const user of waiting) {
        const began = performance.now();
        await user.come(hostname, port);
        latency.record(performance.now() - began);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    return {
      seconds: (performance.now() - from) / 1000,
      p50Ms: rounded(latency.percentile(50), 3),
      p99Ms: rounded(latency.percentile(99), 3),
      messages: this.#users.reduce((sum, { messages }) => sum + messages, 0),
    };
  }

  /** Users write to each other in pairs. */
  async exchange(): Promise<void> {
    const ref = `x-${this.#refs++}`;
    let left = this.#users.length;
    for (const [at, user] of this.#users.entries())
      void user.exchange(this.#users[at ^ 1]!.login.user, ref).then(() => left--);
    const until = performance.now() + WAIT_MS;
    while (left > 0) {
      if (this.#failure !== undefined) throw new Error(this.#failure);
      if (performance.now() > until) throw new Error(`${left} users did not get their message`);
      await Bun.sleep(LOOK_MS);
    }
  }

  leave(): void {
    for (const user of this.#users) user.leave();
    this.#users = [];
    if (this.#failure !== undefined) throw new Error(this.#failure);
  }

  keepAlive(): void {
    for (const user of this.#users) user.ping();
  }
}

export type SocketCalls = ReturnType<typeof callsOf>;

const callsOf = (crowd: Crowd) => ({
  come: (coming: Coming) => crowd.come(coming),
  exchange: (_: object) => crowd.exchange(),
  leave: (_: object) => crowd.leave(),
});

if (import.meta.main) {
  const crowd = new Crowd();
  setInterval(() => crowd.keepAlive(), KEEP_ALIVE_MS);
  serveCalls(callsOf(crowd));
}
