/**
 * People who talk at random over sockets and long poll, with several devices each, and whose history is recorded: they
 * lose connections, come back with old cursors, repeat sends, page, join and leave groups, dissolve them and make them
 * again.
 */
import { HistoryRecorder, type Sink } from "../../scripts/history/recorder.ts";
import { recordedClient, recordedFetch, recordedSocket } from "../../scripts/history/recorded-client.ts";
import type { Client, Header } from "../../scripts/history/format.ts";
import { ParleyClient } from "../../src/client/client.ts";
import type { Fetch } from "../../src/client/http.ts";
import { call } from "../../src/client/http-request.ts";
import type { SocketConstructor } from "../../src/client/socket-transport.ts";
import type { Cursor, ServerFrame } from "../../src/protocol/frames.ts";
import type { Credentials, SyncReply } from "../../src/protocol/http-shapes.ts";
import type { Api } from "../support/api.ts";
import type { Random } from "../support/random.ts";
import { FROM_THE_BEGINNING } from "../support/device.ts";
import { faultsSettled } from "../support/settled-faults.ts";
import { until, within } from "../support/wait.ts";

/** A server that may be started again on another port. */
export type Served = { readonly url: string; readonly api: Api };

type Speaker = { who: Credentials; client: ParleyClient; sockets: Set<WebSocket>; fetch: Fetch; messages: string[] };

const PEOPLE = 6;
export const GROUPS = ["#one", "#two"];
const IN_FLIGHT_MAX = 200;

export class Talk {
  readonly #server: Served;
  readonly #random: Random;
  readonly #groups: readonly string[];
  readonly #recorder: HistoryRecorder;
  readonly #speakers: Speaker[] = [];
  readonly #cursors: { who: Credentials; cursor: Cursor }[] = [];
  readonly #waiting = new Set<Promise<unknown>>();
  #texts = 0;

  constructor(server: Served, random: Random, sink: Sink, header: Partial<Header>, groups: readonly string[] = GROUPS) {
    this.#groups = groups;
    this.#server = server;
    this.#random = random;
    this.#recorder = new HistoryRecorder(sink, { isComplete: true, ...header });
  }

  async begin(): Promise<void> {
    for (let n = 0; n < PEOPLE; n++) {
      for (const transport of n < 2 ? (["socket", "socket", "poll"] as const) : (["socket"] as const)) {
        const who = await this.#server.api.user(`user${n}`);
        this.#speakers.push(this.#speaker(who, transport));
      }
    }
    await Promise.all(this.#speakers.map(({ client }) => client.connect()));
    for (const group of this.#groups) await this.#make(this.#any(this.#speakers), group);
  }

  /** One thing that somebody does. */
  async step(): Promise<void> {
    const speaker = this.#any(this.#speakers);
    const chance = this.#random();
    if (chance < 0.55) this.#later(speaker.client.send({ to: `@${this.#person()}`, text: this.#text() }));
    else if (chance < 0.8) this.#later(speaker.client.send({ to: this.#address(), text: this.#text() }));
    else if (chance < 0.85) this.#read(speaker);
    else if (chance < 0.88) this.#cut(speaker);
    else if (chance < 0.91) this.#later(this.#page(speaker));
    else if (chance < 0.94) this.#later(this.#change(speaker));
    else if (chance < 0.97) this.#later(this.#comeBack());
    else this.#later(this.#repeat(speaker));
    if (this.#waiting.size > IN_FLIGHT_MAX) await Promise.race(this.#waiting);
    await Bun.sleep(0);
  }

  /** Everything that was sent has come everywhere, as `end` says. */
  async end(): Promise<void> {
    await within("all sends to be answered", Promise.all(this.#waiting), 60_000);
    await faultsSettled();
    for (const speaker of this.#speakers)
      await until(`${speaker.who.user} has everything`, () => this.#hasAll(speaker));
    for (const speaker of this.#speakers)
      await until(`${speaker.who.user} is connected`, () => speaker.client.state === "live");
    for (const speaker of this.#speakers) await this.#lastEntries(speaker);
    this.#recorder.end(true);
    await this.close();
  }

  /** Also of a talk that failed. */
  async close(): Promise<void> {
    await Promise.all(this.#speakers.map(({ client }) => client.close()));
  }

  #speaker(who: Credentials, transport: "socket" | "poll"): Speaker {
    const sockets = new Set<WebSocket>();
    const platform = { WebSocket: this.#socketTo(sockets), fetch: this.#fetch };
    const messages: string[] = [];
    const client = new ParleyClient({
      ...{ url: this.#server.url, token: who.token, from: "start" as const, transport, random: this.#random },
      ...{ backoffBaseMs: 5, backoffMaxMs: 50, receivedIntervalMs: 5, pollWaitMs: 500 },
      ...recordedClient(this.#recorder, who, { platform }),
      onMessage: ({ conversation, seq }) => void messages.push(`${seq} ${conversation}`),
    });
    return { who, client, sockets, fetch: recordedFetch(this.#recorder, who, this.#fetch), messages };
  }

  readonly #fetch: Fetch = (url, init) => {
    const { pathname, search } = new URL(url);
    return fetch(this.#server.url + pathname + search, init);
  };

  #socketTo(open: Set<WebSocket>): SocketConstructor {
    const server = this.#server;
    return class extends WebSocket {
      constructor(_: string, protocols?: string[]) {
        super(`${server.url.replace("http", "ws")}/v1/ws`, protocols);
        open.add(this);
        this.addEventListener("close", () => open.delete(this));
      }
    };
  }

  #later(doing: Promise<unknown>): void {
    // Refusals belong to it: who has left a group may not post in it.
    const done: Promise<unknown> = doing.catch(() => {}).finally(() => this.#waiting.delete(done));
    this.#waiting.add(done);
  }

  #read({ client, messages }: Speaker): void {
    if (messages.length === 0) return;
    const [seq = "0", conversation = ""] = this.#any(messages).split(" ");
    client.markRead(conversation, Number(seq));
  }

  #cut({ sockets, who, client }: Speaker): void {
    const cursor = client.cursor();
    if (cursor !== undefined) this.#cursors.push({ who, cursor });
    for (const socket of sockets) (socket as WebSocket & { terminate(): void }).terminate();
  }

  async #page({ who, fetch }: Speaker): Promise<void> {
    const address = this.#random() < 0.5 ? `@${this.#person()}` : this.#address();
    const server = { url: this.#server.url, token: who.token, fetch };
    const after = this.#random() < 0.5 ? "" : `&after=${Math.floor(this.#random() * 50)}`;
    const group = address.startsWith("#") ? `&conversation=${encodeURIComponent(address)}` : "";
    await call(server, "GET", `/v1/conversations/${encodeURIComponent(address)}/messages?limit=20${after}`).catch(
      () => {},
    );
    await call(server, "GET", `/v1/entries?limit=50&after=${Math.floor(this.#random() * 100)}${group}`).catch(() => {});
    await call(server, "GET", "/v1/conversations?limit=5&messages=3");
  }

  async #lastEntries({ who, client, fetch }: Speaker): Promise<void> {
    const after = Math.max(0, (client.cursor()?.timeline ?? 0) - 20);
    const server = { url: this.#server.url, token: who.token, fetch };
    await call(server, "GET", `/v1/entries?limit=50&after=${after}`);
  }

  async #change({ who, fetch }: Speaker): Promise<void> {
    if (this.#groups.length === 0) return;
    const group = this.#any(this.#groups).slice(1);
    const server = { url: this.#server.url, token: who.token, fetch };
    const chance = this.#random();
    const path = `/v1/groups/${group}`;
    if (chance < 0.35) return call(server, "PUT", `${path}/members/${who.user}`);
    if (chance < 0.55) return call(server, "PUT", `${path}/members/${this.#person()}`, { role: "admin" });
    if (chance < 0.8) return call(server, "DELETE", `${path}/members/${who.user}`);
    if (chance < 0.9) return call(server, "PATCH", path, { name: this.#text() });
    await call(server, "DELETE", path);
    await this.#make(this.#any(this.#speakers), `#${group}`);
  }

  async #make({ who, fetch }: Speaker, group: string): Promise<void> {
    const members = Array.from({ length: PEOPLE }, (_, n) => `user${n}`).filter(
      (user) => user !== who.user && this.#random() < 0.8,
    );
    const body = { id: group.slice(1), name: this.#text(), members };
    await call({ url: this.#server.url, token: who.token, fetch }, "POST", "/v1/groups", body);
  }

  /** Another device, with nothing or with a cursor of some time ago, on a bare socket. */
  async #comeBack(): Promise<void> {
    const { who, cursor } = this.#any([
      { who: this.#any(this.#speakers).who, cursor: FROM_THE_BEGINNING },
      ...this.#cursors,
    ]);
    const device: Client = { user: who.user, device: `${who.device}-again` };
    const open = new Set<WebSocket>();
    const Socket = recordedSocket(this.#recorder, device, this.#socketTo(open));
    const socket = new Socket(this.#server.url);
    const done = new Promise<void>((resolve) => {
      socket.onclose = () => resolve();
      socket.onmessage = ({ data }) => {
        if ((JSON.parse(String(data)) as ServerFrame).t === "live") resolve();
      };
    });
    socket.onopen = () => socket.send(JSON.stringify({ t: "hello", token: who.token, cursor }));
    await within("a device to come back", done);
    socket.close();
  }

  /** The same ref again, by HTTP, and with another text. */
  async #repeat({ who, fetch }: Speaker): Promise<void> {
    const server = { url: this.#server.url, token: who.token, fetch };
    const message = { to: `@${this.#person()}`, text: this.#text(), ref: `again-${this.#texts}` };
    await call(server, "POST", "/v1/messages", message).catch(() => {});
    await call(server, "POST", "/v1/messages", message).catch(() => {});
    await call(server, "POST", "/v1/messages", { ...message, text: "another" });
  }

  async #hasAll({ who, client }: Speaker): Promise<boolean> {
    const cursor = client.cursor();
    if (cursor === undefined) return false;
    const { status, body } = await this.#server.api.post("/v1/sync", who.token, { cursor });
    return status === 200 && (body as SyncReply).frames.every(({ t }) => t === "receipt");
  }

  #person = (): string => `user${Math.floor(this.#random() * PEOPLE)}`;
  /** Of a group, if there are any. */
  #address = (): string => (this.#groups.length === 0 ? `@${this.#person()}` : this.#any(this.#groups));
  #text = (): string => `text ${++this.#texts}`;
  #any = <T>(all: readonly T[]): T => all[Math.floor(this.#random() * all.length)] as T;
}
