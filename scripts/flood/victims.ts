/**
 * Two users who exchange 50 messages a second during an attack. Each message is timed from when it was due to its
 * arrival.
 */
import { Histogram } from "../../bench/measure/histogram.ts";
import { WebSocketClient } from "../../bench/load/websocket-client.ts";
import type { Person } from "./people.ts";

const EVERY_MS = 20;
/** How long to wait at the end for messages in flight. Later ones count as this late. */
const PATIENCE_MS = 10_000;

export type Talk = { sent: number; lost: number; p50Ms: number; p99Ms: number; maxMs: number };

export class Victims {
  readonly #one: Victim;
  readonly #other: Victim;

  static async connect(url: URL, one: Person, other: Person): Promise<Victims> {
    const victims = [new Victim(url, one), new Victim(url, other)] as const;
    for (const victim of victims) await victim.connect();
    return new Victims(...victims);
  }

  private constructor(one: Victim, other: Victim) {
    this.#one = one;
    this.#other = other;
  }

  /** The two take turns. Latency counts from when a message was due, so a blocked server is not measured less often. */
  async talk(seconds: number): Promise<Talk> {
    const histogram = new Histogram();
    const due = new Map<string, number>();
    const onText = (text: string): void => {
      const at = due.get(text);
      if (at === undefined) return;
      due.delete(text);
      histogram.record(performance.now() - at);
    };
    this.#one.onText = onText;
    this.#other.onText = onText;
    const count = Math.round((seconds * 1000) / EVERY_MS);
    const startedAt = performance.now();
    for (let n = 0; n < count; n++) {
      const dueAt = startedAt + n * EVERY_MS;
      const wait = dueAt - performance.now();
      if (wait > 0) await Bun.sleep(wait);
      const text = `talk ${startedAt} ${n}`;
      due.set(text, dueAt);
      const [from, to] = n % 2 === 0 ? [this.#one, this.#other] : [this.#other, this.#one];
      from.say(to.person.user, text);
    }
    const giveUpAt = performance.now() + PATIENCE_MS;
    while (due.size > 0 && performance.now() < giveUpAt) await Bun.sleep(5);
    for (const at of due.values()) histogram.record(performance.now() - at);
    return {
      sent: count,
      lost: due.size,
      p50Ms: histogram.percentile(50),
      p99Ms: histogram.percentile(99),
      maxMs: histogram.maxMs,
    };
  }

  close(): void {
    this.#one.close();
    this.#other.close();
  }
}

const TEXT = /"text":"(talk [^"]*)"/;
const SEQ = /"t":"message".*"seq":(\d+)/;
let refs = 0;

class Victim {
  readonly person: Person;
  onText: (text: string) => void = () => {};
  readonly #socket: WebSocketClient;
  #welcome = Promise.withResolvers<void>();

  constructor(url: URL, person: Person) {
    this.person = person;
    this.#socket = new WebSocketClient(url.hostname, Number(url.port), {
      onOpen: () => this.#socket.write(JSON.stringify({ t: "hello", token: person.token })),
      onText: (text) => this.#came(text),
      onChunkEnd: () => {},
      onClose: (reason) => this.#welcome.reject(new Error(`${person.user}: ${reason}`)),
    });
  }

  async connect(): Promise<void> {
    await this.#socket.connect();
    await this.#welcome.promise;
  }

  say(to: string, text: string): void {
    this.#socket.write(JSON.stringify({ t: "send", ref: `v-${performance.timeOrigin}-${++refs}`, to: `@${to}`, text }));
    this.#socket.flush();
  }

  close(): void {
    this.#socket.close();
  }

  #came(frame: string): void {
    if (frame.startsWith('{"t":"welcome"')) return this.#welcome.resolve();
    const seq = SEQ.exec(frame)?.[1];
    if (seq === undefined) return;
    const text = TEXT.exec(frame)?.[1];
    if (text !== undefined) this.onText(text);
    this.#socket.write(`{"t":"received","seq":${seq}}`);
  }
}
