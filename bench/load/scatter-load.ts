/**
 * Users who write to many others who are away: sender N writes one message to each of its own receivers, one sender
 * after another, with some messages on their way at once. So every receiver's state is touched once a pass.
 */
import { readMeter, usageBetween, type Usage } from "../measure/meter.ts";
import type { LoadTarget } from "./load.ts";
import { numberAfter } from "./number-after.ts";
import { serveCalls } from "./remote.ts";
import { WebSocketClient, type FrameHandler } from "./websocket-client.ts";

export type ScatterUsers = LoadTarget & {
  senders: { user: string; token: string }[];
  /** Receivers are called `u0`, `u1` …; the first ones are those of the first sender. */
  receivers: number;
  inFlight: number;
  lines: string[];
};

const CONNECTING_MAX = 32;
const WAIT_MS = 30_000;
const LOOK_MS = 5;
const REF = "s-";

class Sender implements FrameHandler {
  readonly #token: string;
  readonly #sent: () => void;
  readonly #fail: (reason: string) => void;
  #socket!: WebSocketClient;
  #welcomed = (): void => {};

  constructor(token: string, sent: () => void, fail: (reason: string) => void) {
    this.#token = token;
    this.#sent = sent;
    this.#fail = fail;
  }

  async connect(hostname: string, port: number): Promise<void> {
    const welcome = new Promise<void>((resolve) => (this.#welcomed = resolve));
    this.#socket = new WebSocketClient(hostname, port, this);
    await this.#socket.connect();
    await welcome;
  }

  send(ref: string, to: string, text: string): void {
    this.#socket.write(`{"t":"send","ref":"${ref}","to":"${to}","text":`, Buffer.from(`${JSON.stringify(text)}}`));
    this.#socket.flush();
  }

  close(): void {
    this.#socket.close();
  }

  onOpen(): void {
    this.#socket.write(JSON.stringify({ t: "hello", token: this.#token }));
  }

  onText(text: string): void {
    if (text.startsWith('{"t":"sent"')) {
      if (Number.isNaN(numberAfter(text, '"seq":'))) this.#fail(`sent without a seq: ${text.slice(0, 200)}`);
      this.#sent();
    } else if (text.startsWith('{"t":"welcome"')) this.#welcomed();
    else if (text.startsWith('{"t":"error"')) this.#fail(text.slice(0, 300));
  }

  onChunkEnd(): void {}

  onClose(reason: string): void {
    this.#fail(reason);
  }
}

class Scatter {
  #users!: ScatterUsers;
  #senders: Sender[] = [];
  #next = 0;
  #acked = 0;
  #pass = 0;
  #failure: string | undefined;

  async connect(users: ScatterUsers): Promise<void> {
    this.#users = users;
    this.#pass = Date.now();
    this.#senders = users.senders.map(
      ({ token }) =>
        new Sender(
          token,
          () => this.#onSent(),
          (reason) => (this.#failure ??= reason),
        ),
    );
    for (let at = 0; at < this.#senders.length; at += CONNECTING_MAX) {
      const some = this.#senders.slice(at, at + CONNECTING_MAX);
      await Promise.all(some.map((sender) => sender.connect(users.hostname, users.port)));
    }
  }

  /** One message to every receiver. */
  async pass(): Promise<Usage> {
    const { receivers, inFlight, serverPid } = this.#users;
    [this.#next, this.#acked] = [0, 0];
    this.#pass++;
    const before = readMeter(serverPid);
    for (let at = 0; at < inFlight; at++) this.#send();
    let [heard, heardAt] = [0, performance.now()];
    while (this.#acked < receivers) {
      if (this.#failure !== undefined) throw new Error(this.#failure);
      if (this.#acked > heard) [heard, heardAt] = [this.#acked, performance.now()];
      if (performance.now() - heardAt > WAIT_MS) throw new Error(`${receivers - this.#acked} messages were not acked`);
      await Bun.sleep(LOOK_MS);
    }
    return usageBetween(before, readMeter(serverPid), receivers);
  }

  leave(): void {
    for (const sender of this.#senders) sender.close();
  }

  #onSent(): void {
    this.#acked++;
    this.#send();
  }

  #send(): void {
    const { receivers, lines } = this.#users;
    if (this.#next >= receivers) return;
    const at = this.#next++;
    const sender = this.#senders[Math.floor((at * this.#senders.length) / receivers)]!;
    sender.send(`${REF}${this.#pass}-${at}`, `@u${at}`, lines[at % lines.length]!);
  }
}

export type ScatterCalls = ReturnType<typeof callsOf>;

const callsOf = (scatter: Scatter) => ({
  connect: (users: ScatterUsers) => scatter.connect(users),
  pass: (_: object) => scatter.pass(),
  leave: (_: object) => scatter.leave(),
});

if (import.meta.main) serveCalls(callsOf(new Scatter()));
