/** A device on a raw WebSocket: sends what it is told, keeps what comes, waits for frames, bounded. It is no client: it says nothing by itself. */
import type { Credentials } from "../../src/protocol/http-shapes.ts";
import type { ClientFrame, Cursor, SentFrame, ServerFrame, WelcomeFrame } from "../../src/protocol/frames.ts";
import { faultsSettled } from "./settled-faults.ts";
import { WAIT_MS, within } from "./wait.ts";

export type DeviceCursor = Cursor;
export type Closed = { code: number; reason: string };
type Kind = ServerFrame["t"];
type Of<T extends Kind> = Extract<ServerFrame, { t: T }>;

/** Of a device that has nothing: it gets everything. */
export const FROM_THE_BEGINNING: DeviceCursor = { epoch: "", timeline: 0, groups: {}, marks: 0 };

export class Device {
  /** Everything that came, in order. */
  readonly frames: ServerFrame[] = [];
  readonly closed: Promise<Closed>;
  /** Undefined until `hello` was answered. */
  greeting: WelcomeFrame | undefined;
  readonly #socket: WebSocket;
  readonly #untaken: ServerFrame[] = [];
  #isClosed = false;
  #waiting: (() => void)[] = [];
  #refs = 0;
  readonly #refPrefix = `t${Math.random().toString(36).slice(2, 8)}-`;

  /** A socket that has said nothing yet. */
  static async open(url: string): Promise<Device> {
    const socket = new WebSocket(`${url.replace("http", "ws")}/v1/ws`);
    const device = new Device(socket);
    const opened = new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("close", () => reject(new Error("the socket could not be opened")));
    });
    await within("the socket to open", opened);
    return device;
  }

  static async connect(url: string, who: Pick<Credentials, "token">, cursor?: DeviceCursor): Promise<Device> {
    await faultsSettled();
    const device = await Device.open(url);
    device.send(cursor === undefined ? { t: "hello", token: who.token } : { t: "hello", token: who.token, cursor });
    device.greeting = await device.take("welcome");
    return device;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => this.#came(JSON.parse(String(data)) as ServerFrame));
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.#isClosed = true;
        this.#wake();
        resolve({ code, reason });
      });
    });
  }

  get welcome(): WelcomeFrame {
    if (this.greeting === undefined) throw new Error("this device has not said hello");
    return this.greeting;
  }

  send(frame: ClientFrame): void {
    this.raw(JSON.stringify(frame));
  }

  raw(data: string | Uint8Array<ArrayBuffer>): void {
    this.#socket.send(data);
  }

  ref(): string {
    return this.#refPrefix + String(++this.#refs);
  }

  /** Sends without waiting. @returns the ref */
  post(to: string, text: string, ref: string = this.ref(), retry = false): string {
    this.send(retry ? { t: "send", ref, to, text, retry } : { t: "send", ref, to, text });
    return ref;
  }

  /** Sends and waits for `sent`. */
  async say(to: string, text: string, ref: string = this.ref(), retry = false): Promise<SentFrame> {
    const answer = await this.ask(to, text, ref, retry);
    if (answer.t === "error") throw new Error(`${ref} was refused: ${answer.code}, ${answer.detail}`);
    return answer;
  }

  /** Sends and waits for what is said of it. */
  async ask(to: string, text: string, ref: string = this.ref(), retry = false): Promise<SentFrame | Of<"error">> {
    this.post(to, text, ref, retry);
    return this.answerTo(ref);
  }

  answerTo(ref: string): Promise<SentFrame | Of<"error">> {
    const isAnswer = (frame: ServerFrame): frame is SentFrame | Of<"error"> =>
      (frame.t === "sent" || frame.t === "error") && frame.ref === ref;
    return this.#find(`the answer to ${ref}`, isAnswer);
  }

  /** The first frame of that type that was not taken yet; frames of other types stay for later. */
  take<T extends Kind>(t: T, where: (frame: Of<T>) => boolean = () => true): Promise<Of<T>> {
    return this.#find(t, (frame): frame is Of<T> => frame.t === t && where(frame as Of<T>));
  }

  async takeMany<T extends Kind>(t: T, count: number): Promise<Of<T>[]> {
    const taken: Of<T>[] = [];
    while (taken.length < count) taken.push(await this.take(t));
    return taken;
  }

  /** What came and was not taken, once a ping has been answered: whatever was sent before it is here. */
  async untaken(): Promise<ServerFrame[]> {
    await faultsSettled();
    this.send({ t: "ping" });
    await this.take("pong");
    return this.#untaken.splice(0);
  }

  /** Frames of one type, taken or not. */
  all<T extends Kind>(t: T): Of<T>[] {
    return this.frames.filter((frame): frame is Of<T> => frame.t === t);
  }

  end(): Promise<Closed> {
    return within("the socket to close", this.closed);
  }

  async close(): Promise<void> {
    this.#socket.close();
    await this.end();
  }

  /** Without a goodbye. */
  terminate(): void {
    (this.#socket as WebSocket & { terminate(): void }).terminate();
  }

  #came(frame: ServerFrame): void {
    this.frames.push(frame);
    this.#untaken.push(frame);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #find<F extends ServerFrame>(what: string, is: (frame: ServerFrame) => frame is F): Promise<F> {
    const giveUpAt = performance.now() + WAIT_MS;
    for (;;) {
      const at = this.#untaken.findIndex(is);
      const [frame] = at === -1 ? [] : this.#untaken.splice(at, 1);
      if (frame !== undefined) return frame as F;
      if (this.#isClosed) throw new Error(`the socket closed before ${what}; last came ${this.#lastFrames()}`);
      const came = new Promise<void>((resolve) => this.#waiting.push(resolve));
      await within(`${what}; last came ${this.#lastFrames()}`, came, giveUpAt - performance.now());
    }
  }

  #lastFrames(): string {
    return JSON.stringify(this.frames.slice(-3)).slice(0, 600);
  }
}
