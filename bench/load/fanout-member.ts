/**
 * One member of groups: posts, and tells what came. It checks that no message of a group is missing or doubled. Frames
 * are searched for keys and not parsed, but for one message in SAMPLE.
 */
import { numberAfter } from "./number-after.ts";
import { WebSocketClient, type FrameHandler } from "./websocket-client.ts";

const SAMPLE = 64;

export type FanoutSink = {
  onSent(ref: string, seq: number): void;
  onMessage(seq: number, text: string): void;
  fail(reason: string): void;
};

export class FanoutMember implements FrameHandler {
  readonly #user: string;
  readonly #hello: string;
  readonly #sink: FanoutSink;
  #socket!: WebSocketClient;
  #isHere = false;
  #welcomed = (): void => {};
  /** Own posts come as `sent`, in no fixed order with the messages of others. */
  #isAuthor = false;
  /** By group. */
  readonly #lastSeqs = new Map<string, number>();

  constructor(user: string, token: string, groups: string[], sink: FanoutSink) {
    this.#user = user;
    // Parley ignores the groups, the bare server needs them.
    this.#hello = JSON.stringify({ t: "hello", token, groups });
    this.#sink = sink;
  }

  async connect(hostname: string, port: number): Promise<void> {
    const welcome = new Promise<void>((resolve) => (this.#welcomed = resolve));
    this.#socket = new WebSocketClient(hostname, port, this);
    await this.#socket.connect();
    await welcome;
    this.#isHere = true;
  }

  post(ref: string, to: string, text: string): void {
    this.#isAuthor = true;
    this.#socket.write(`{"t":"send","ref":"${ref}","to":"${to}","text":`, Buffer.from(`${JSON.stringify(text)}}`));
    this.#socket.flush();
  }

  close(): void {
    this.#socket.close();
  }

  ping(): void {
    if (!this.#isHere) return;
    this.#socket.write('{"t":"ping"}');
    this.#socket.flush();
  }

  onOpen(): void {
    this.#socket.write(this.#hello);
  }

  onText(text: string, input: Buffer, start: number, end: number): void {
    if (text.startsWith('{"t":"message"')) this.#onMessage(text, input, start, end);
    else if (text.startsWith('{"t":"sent"')) this.#onSent(JSON.parse(text) as { ref: string; seq: number });
    else if (text.startsWith('{"t":"welcome"')) this.#welcomed();
    else if (text.startsWith('{"t":"error"')) this.#sink.fail(`${this.#user} got ${text.slice(0, 300)}`);
  }

  onChunkEnd(): void {}

  onClose(reason: string): void {
    this.#sink.fail(`${this.#user}: ${reason}`);
  }

  #onSent({ ref, seq }: { ref: string; seq: number }): void {
    this.#sink.onSent(ref, seq);
  }

  #onMessage(text: string, input: Buffer, start: number, end: number): void {
    const seq = numberAfter(text, '"seq":');
    this.#sink.onMessage(seq, seq % SAMPLE === 0 ? textOf(input, start, end) : "");
    if (this.#isAuthor) return;
    const group = groupOf(text);
    const last = this.#lastSeqs.get(group);
    if (last !== undefined && seq !== last + 1)
      this.#sink.fail(`${this.#user} got seq ${seq} after ${last} of ${group}`);
    this.#lastSeqs.set(group, seq);
  }
}

const textOf = (input: Buffer, start: number, end: number): string =>
  (JSON.parse(input.toString("utf8", start, end)) as { text: string }).text;

const KEY = '"conversation":"';

function groupOf(text: string): string {
  const from = text.indexOf(KEY) + KEY.length;
  return text.slice(from, text.indexOf('"', from));
}
